use super::*;
use proptest::prelude::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// The plate after so many steps, each cut into as many bands.
fn plate(heat: Heat, steps: u64, bands: usize) -> Grids {
    let mut grids = Grids::default();
    grids.load(heat);
    for _ in 0..steps {
        step(&mut grids, bands);
    }
    grids
}

fn step(grids: &mut Grids, bands: usize) {
    grids.bands(bands).unwrap().for_each(Band::compute);
    grids.advance(|| ());
}

/// A problem, and a number of steps for which its residual tells.
fn problem() -> impl Strategy<Value = (Heat, u64)> {
    let heat = (any::<u64>(), 16..48_u32).prop_map(|(seed, size)| Heat::new(seed, size));
    heat.prop_flat_map(|heat| (Just(heat), 1..Heat::most_steps(heat.size).min(300)))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn each_step_is_proved_and_one_more_or_less_is_found((heat, steps) in problem(), twice: bool) {
        let mut grids = plate(heat, steps, 3);
        prop_assert_eq!(grids.verify(), Ok(()));
        prop_assert_eq!(grids.steps(), steps);
        if twice {
            step(&mut grids, 1);
            grids.steps -= 1;
        } else {
            grids.steps += 1;
        }
        let found = grids.verify().unwrap_err();
        prop_assert!(matches!(found, StencilError::Residual { off, tolerance, .. } if off > tolerance), "{}", found);
    }

    #[test]
    fn threads_do_not_show_in_a_single_bit((heat, steps) in problem(), bands in 0..50_usize) {
        let (one, many) = (plate(heat, steps, 1), plate(heat, steps, bands));
        prop_assert_eq!(one.digest(), many.digest());
        let bits = |grids: &Grids| grids.now.iter().map(|cell| cell.to_bits()).collect::<Vec<_>>();
        prop_assert_eq!(bits(&one), bits(&many));
    }

    /// Wherever it is, at an edge too.
    #[test]
    fn damage_shows((heat, steps) in problem(), at: prop::sample::Index, bit in 48..64_u32) {
        let mut grids = plate(heat, steps, 1);
        let sound = grids.digest();
        let place = at.index(grids.now.len());
        grids.now[place] = f64::from_bits(grids.now[place].to_bits() ^ 1 << bit);
        prop_assert_ne!(grids.digest(), sound);
        // What is below rounding is nobody's damage.
        let changed = (grids.now[place] - plate(heat, steps, 1).now[place]).abs();
        if changed.is_nan() || changed > 2.0 * tolerance(steps) {
            let found = grids.verify().unwrap_err();
            let width = heat.size as usize + 2;
            prop_assert!(
                matches!(found, StencilError::Residual { row, column, .. } if row * width + column == place), "{}", found
            );
        }
    }

    #[test]
    fn rounding_stays_far_below_what_is_put_down_to_it((heat, steps) in problem()) {
        let grids = plate(heat, steps, 1);
        let left = power(heat.kept(), steps);
        let (down, across) = (heat.wave(heat.down), heat.wave(heat.across));
        let exact = down.iter().flat_map(|down| across.iter().map(move |across| left * (down * across)));
        let off = grids.now.iter().zip(exact).map(|(cell, exact)| (cell - exact).abs()).fold(0.0, f64::max);
        prop_assert!(off <= tolerance(steps) / 2.0, "{off:e} of {:e}", tolerance(steps));
    }

    #[test]
    fn sines_are_those_of_the_library(part in 0..1_000_000_u64, whole in 1..1_000_000_u64) {
        // The angle that the library is given is rounded three times, π itself once: at 2π that moves its sine by up to
        // 2π · 3/2 units, far more than either sine is off.
        let turned = (part % (2 * whole)) as f64;
        prop_assert!((sine(part, whole) - (PI * turned / whole as f64).sin()).abs() <= 12.0 * f64::EPSILON);
    }
}

#[test]
fn a_step_that_is_cut_off_between_its_parts_is_found() {
    let mut grids = plate(Heat::new(1, 16), 5, 2);
    grids.bands(1).unwrap().for_each(Band::compute);
    catch_unwind(AssertUnwindSafe(|| grids.advance(|| panic!("between")))).unwrap_err();
    assert!(matches!(grids.verify(), Err(StencilError::Residual { steps: 5, .. })));
}

#[test]
fn what_is_live_is_what_the_digest_and_the_residual_see() {
    let mut grids = plate(Heat::new(1, 16), 5, 2);
    let mut bytes = 0;
    grids.live(&mut |live| {
        assert_ne!(live, Live::of(grids.next.as_slice()), "the other grid is never read");
        bytes += 1;
    });
    assert_eq!(bytes, 5);
    let sound = grids.digest();
    grids.next.fill(f64::NAN);
    assert_eq!((grids.digest(), grids.verify()), (sound, Ok(())));
    step(&mut grids, 2);
    assert_eq!(grids.verify(), Ok(()));
    for size in [0, 15, 17, u32::MAX] {
        grids.heat.size = size;
        assert!(matches!(grids.verify(), Err(StencilError::Size { .. })));
        assert!(matches!(grids.bands(2).map(Iterator::count), Err(StencilError::Size { .. })));
    }
}

#[test]
fn more_steps_can_be_proved_on_larger_plates() {
    let most: Vec<u64> = [16, 64, 256, 1024].into_iter().map(Heat::most_steps).collect();
    assert!(most.is_sorted_by(|a, b| a < b) && most[0] >= 80 && most[2] >= 20_000, "{most:?}");
}

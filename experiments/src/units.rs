//! Numbers as people read them: durations, sizes, shares and counts in a few characters, with their units.

use crate::record::Unit;

/// A figure of this unit, as `184 µs` or `412000 /s`; a ratio with four decimals.
pub fn figure(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Ns => duration(value),
        Unit::OperationsPerSecond => format!("{} /s", three_digits(value)),
        Unit::Count => three_digits(value),
        // Never negative, and whole bytes matter only where they are few.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        Unit::Bytes => bytes(value as u64),
        Unit::Millionths => format!("{:.4}", value / 1e6),
    }
}

/// `ns` nanoseconds with three significant digits and the unit that fits, as `184 µs` or `1.84 ms`.
pub fn duration(ns: f64) -> String {
    // The limits are where rounding to three digits reaches the next unit's 1.
    let (value, unit) = match ns {
        _ if ns < 999.5 => (ns, "ns"),
        _ if ns < 999.5e3 => (ns / 1e3, "µs"),
        _ if ns < 999.5e6 => (ns / 1e6, "ms"),
        _ => (ns / 1e9, "s"),
    };
    format!("{} {unit}", three_digits(value))
}

/// A size in bytes with its binary unit, as `64 MiB`.
pub fn bytes(bytes: u64) -> String {
    const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match UNITS.iter().find(|(size, _)| bytes >= *size) {
        Some((size, unit)) => format!("{} {unit}", three_digits(bytes as f64 / *size as f64)),
        None => format!("{bytes} B"),
    }
}

/// A share from 0 to 1 in percent, as `2.4 %`; neither `0 %` nor `100 %` unless it is exactly that.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        _ if percent > 0.0 && percent < 0.1 => "< 0.1 %".to_owned(),
        _ if percent < 100.0 && percent > 99.9 => "> 99.9 %".to_owned(),
        _ if percent > 0.0 && percent < 10.0 || percent > 99.0 && percent < 100.0 => format!("{percent:.1} %"),
        _ => format!("{percent:.0} %"),
    }
}

/// A ratio, as `1.84`; near 1 with three decimals, as `1.021`; one that is small as a part, as `1/230`.
pub fn ratio(ratio: f64) -> String {
    match ratio {
        _ if (0.9..1.1).contains(&ratio) => format!("{ratio:.3}"),
        _ if ratio > 0.0 && ratio < 0.1 => format!("1/{}", three_digits(1.0 / ratio)),
        _ => three_digits(ratio),
    }
}

/// The most that a ratio may be, as `≤ 1.3`, and below 1 as `≤ 1/3`; `–` where there is none.
pub fn at_most(most: Option<f64>) -> String {
    match most {
        None => "–".to_owned(),
        Some(most) if most > 0.0 && most < 1.0 => format!("≤ 1/{}", three_digits(1.0 / most)),
        Some(most) => format!("≤ {}", three_digits(most)),
    }
}

/// A count with its noun, as `1 trial` and `2 trials`.
pub fn count(count: u64, singular: &str, plural: &str) -> String {
    format!("{count} {}", if count == 1 { singular } else { plural })
}

/// Three significant digits without trailing zeros, as `1.84`, `18.4`, `184`; whole from 100 on.
pub fn three_digits(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_take_the_unit_that_fits() {
        assert_eq!(duration(0.0), "0 ns");
        assert_eq!(duration(999.4), "999 ns");
        assert_eq!(duration(999.6), "1 µs");
        assert_eq!(duration(184_320.0), "184 µs");
        assert_eq!(duration(1_840_000.0), "1.84 ms");
        assert_eq!(duration(999_700_000.0), "1 s");
        assert_eq!(duration(61e9), "61 s");
    }

    #[test]
    fn figures_have_their_units() {
        assert_eq!(figure(1_840.0, Unit::Ns), "1.84 µs");
        assert_eq!(figure(412_345.6, Unit::OperationsPerSecond), "412346 /s");
        assert_eq!(figure(12.5, Unit::Count), "12.5");
        assert_eq!(figure(1536.0, Unit::Bytes), "1.5 KiB");
        assert_eq!(figure(1_012_340.0, Unit::Millionths), "1.0123");
    }

    #[test]
    fn a_ratio_is_a_number_or_a_part() {
        assert_eq!((ratio(1.843), ratio(0.43)), ("1.84".to_owned(), "0.43".to_owned()));
        assert_eq!(ratio(1.0204), "1.020");
        assert_eq!((ratio(0.004), ratio(0.0)), ("1/250".to_owned(), "0".to_owned()));
        assert_eq!((at_most(Some(1.3)), at_most(Some(1.0 / 3.0))), ("≤ 1.3".to_owned(), "≤ 1/3".to_owned()));
        assert_eq!(at_most(None), "–");
    }

    #[test]
    fn sizes_and_shares_do_not_round_to_what_they_are_not() {
        assert_eq!(bytes(64 << 20), "64 MiB");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(12), "12 B");
        assert_eq!(percent(0.0), "0 %");
        assert_eq!(percent(0.0001), "< 0.1 %");
        assert_eq!(percent(0.9999), "> 99.9 %");
        assert_eq!(percent(0.996), "99.6 %");
        assert_eq!(percent(0.5), "50 %");
        assert_eq!(percent(1.0), "100 %");
    }
}

//! What all plots have in common: the palette, the font, text sizes, and how a text is made to fit.
//!
//! Colours are those of Okabe and Ito, "Color Universal Design", 2008, which readers with any common colour
//! blindness can tell apart; yellow is left out, as a thin line of it is lost on white. No meaning rests on a colour
//! alone: lines differ in dash and marker too, bars and cells carry text.
//!
//! PNG text is drawn with DejaVu Sans, whose licence (Bitstream Vera's, with DejaVu's changes in the public domain)
//! allows embedding. SVG text asks for the viewer's `sans-serif`.

use ab_glyph::{Font, FontRef, ScaleFont};
use plotters::style::{FontStyle, RGBColor};
use std::sync::LazyLock;

/// The font family in SVG, under which the embedded font is registered too.
pub(super) const FAMILY: &str = "sans-serif";

pub(super) const WHITE: RGBColor = RGBColor(255, 255, 255);
pub(super) const BLACK: RGBColor = RGBColor(0, 0, 0);
pub(super) const INK: RGBColor = RGBColor(34, 34, 34);
pub(super) const GREY: RGBColor = RGBColor(96, 96, 96);
pub(super) const AXIS: RGBColor = RGBColor(120, 120, 120);
pub(super) const GRID: RGBColor = RGBColor(222, 222, 222);
pub(super) const FAINT_GRID: RGBColor = RGBColor(240, 240, 240);

pub(super) const ORANGE: RGBColor = RGBColor(230, 159, 0);
pub(super) const SKY_BLUE: RGBColor = RGBColor(86, 180, 233);
pub(super) const GREEN: RGBColor = RGBColor(0, 158, 115);
pub(super) const YELLOW: RGBColor = RGBColor(240, 228, 66);
pub(super) const BLUE: RGBColor = RGBColor(0, 114, 178);
pub(super) const VERMILLION: RGBColor = RGBColor(213, 94, 0);
pub(super) const PURPLE: RGBColor = RGBColor(204, 121, 167);

/// The colours of series that are lines or points, in the order in which they are taken.
const SERIES: [RGBColor; 6] = [BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY_BLUE];
/// Drawn and left-out lengths in pixels; no entry is a whole line.
const DASHES: [&[f64]; 4] = [&[], &[10.0, 5.0], &[3.0, 4.0], &[12.0, 4.0, 3.0, 4.0]];
const MARKERS: [Marker; 5] = [Marker::Circle, Marker::Square, Marker::Triangle, Marker::Diamond, Marker::Cross];

/// How a text looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct TextStyle {
    /// Height of the em square in pixels.
    pub(super) size: f64,
    pub(super) bold: bool,
    pub(super) colour: RGBColor,
}

pub(super) const TITLE: TextStyle = TextStyle { size: 22.0, bold: true, colour: INK };
pub(super) const PANEL_TITLE: TextStyle = TextStyle { size: 15.0, bold: true, colour: INK };
pub(super) const LABEL: TextStyle = TextStyle { size: 14.0, bold: false, colour: INK };
pub(super) const SMALL: TextStyle = TextStyle { size: 12.5, bold: false, colour: GREY };

/// How one series looks: told apart by colour, dash and marker, each of which alone would do for a few series.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Look {
    pub(super) colour: RGBColor,
    pub(super) dash: &'static [f64],
    pub(super) marker: Marker,
}

/// The look of series `index`; the lists have lengths without a common factor, so that 60 series differ.
pub(super) fn look(index: usize) -> Look {
    Look {
        colour: SERIES[index % SERIES.len()],
        dash: DASHES[index % DASHES.len()],
        marker: MARKERS[index % MARKERS.len()],
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Marker {
    Circle,
    Square,
    Triangle,
    Diamond,
    Cross,
}

/// Blank pixels at a sheet's edge.
pub(super) const MARGIN: f64 = 24.0;

/// `colour`, mixed with white; 1 leaves it as it is, 0 is white.
pub(super) fn tint(colour: RGBColor, strength: f64) -> RGBColor {
    let mix = |byte: u8| {
        let mixed = 255.0 + (f64::from(byte) - 255.0) * strength.clamp(0.0, 1.0);
        // From 0 to 255, as both ends are.
        #[allow(clippy::cast_possible_truncation)]
        {
            mixed.round() as u8
        }
    };
    RGBColor(mix(colour.0), mix(colour.1), mix(colour.2))
}

/// `text`, cut and ended with "…" where it is wider than `width` pixels.
pub(super) fn fit(text: &str, style: TextStyle, width: f64) -> String {
    if text_width(text, style) <= width {
        return text.to_owned();
    }
    let mut kept: Vec<char> = text.chars().collect();
    while kept.pop().is_some() {
        let cut = kept.iter().collect::<String>().trim_end().to_owned() + "…";
        if text_width(&cut, style) <= width {
            return cut;
        }
    }
    String::new()
}

/// A text's width in pixels in the embedded font, which is wider than most that a viewer may put in its place.
pub(super) fn text_width(text: &str, style: TextStyle) -> f64 {
    let (font, size) = face(style);
    let font = font.as_scaled(size);
    let advances: f32 = text.chars().map(|c| font.h_advance(font.glyph_id(c))).sum();
    f64::from(advances)
}

/// The glyphs of a text that leave ink, each with the pixels from the text's start to its leftmost ink.
pub(super) fn glyphs(text: &str, style: TextStyle) -> Vec<(char, f64)> {
    let (font, size) = face(style);
    let scaled = font.as_scaled(size);
    let mut origin = 0.0;
    let mut glyphs = Vec::new();
    for c in text.chars() {
        let glyph = scaled.scaled_glyph(c);
        origin += {
            let advance = scaled.h_advance(glyph.id);
            if let Some(ink) = scaled.outline_glyph(glyph) {
                glyphs.push((c, f64::from(origin + ink.px_bounds().min.x)));
            }
            advance
        };
    }
    glyphs
}

/// The embedded font's height from its lowest to its highest, in em.
pub(super) const FONT_HEIGHT: f64 = 2384.0 / 2048.0;

struct Fonts {
    regular: FontRef<'static>,
    bold: FontRef<'static>,
}

static FONTS: LazyLock<Fonts> = LazyLock::new(|| {
    let font = |bytes| FontRef::try_from_slice(bytes).expect("the embedded font is a font");
    Fonts { regular: font(dejavu::sans::regular()), bold: font(dejavu::sans::bold()) }
});

/// The font of a style, and its size in the font's own measure.
fn face(style: TextStyle) -> (&'static FontRef<'static>, f32) {
    let font = if style.bold { &FONTS.bold } else { &FONTS.regular };
    // A size in pixels.
    #[allow(clippy::cast_possible_truncation)]
    {
        (font, (style.size * FONT_HEIGHT) as f32)
    }
}

/// Makes the embedded font known to plotters, once.
pub(super) fn register_font() {
    static REGISTERED: LazyLock<()> = LazyLock::new(|| {
        for (style, bytes) in [(FontStyle::Normal, dejavu::sans::regular()), (FontStyle::Bold, dejavu::sans::bold())] {
            let registered = plotters::style::register_font(FAMILY, style, bytes);
            assert!(registered.is_ok(), "the embedded font is a font");
        }
    });
    LazyLock::force(&REGISTERED);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_font_is_as_high_as_declared() {
        for font in [&FONTS.regular, &FONTS.bold] {
            let height = f64::from(font.height_unscaled()) / f64::from(font.units_per_em().unwrap());
            assert!((height - FONT_HEIGHT).abs() < 1e-3, "{height}");
        }
    }

    #[test]
    fn a_text_that_is_too_wide_is_cut_to_fit() {
        let long = "a-policy-with-a-name-that-nobody-would-want-to-type";
        let cut = fit(long, LABEL, 120.0);
        assert!(cut.ends_with('…') && cut.len() > 5 && text_width(&cut, LABEL) <= 120.0, "{cut}");
        assert_eq!(fit("short", LABEL, 120.0), "short");
        assert_eq!(fit(long, LABEL, 1.0), "");
    }

    #[test]
    fn sixty_series_look_different() {
        let looks: Vec<Look> = (0..60).map(look).collect();
        for (index, look) in looks.iter().enumerate() {
            assert!(!looks[..index].contains(look), "series {index} looks like an earlier one");
        }
    }
}

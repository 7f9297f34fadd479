//! A sheet: what a plot consists of, as a list of shapes, and how both back ends draw it.
//!
//! A plot is laid out once, in pixels at its real size, as plain data; so SVG and PNG show the same, and a test can
//! see whether two labels overlap. The PNG is drawn three times as large and averaged down, as plotters puts every
//! point on a whole pixel.

use super::PlotError;
use super::style::{self, FAMILY, MARGIN, Marker, TextStyle, WHITE};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// How many times larger the PNG is drawn before it is averaged down.
const OVERSAMPLING: u32 = 3;

/// Pixels from the sheet's upper left corner, to the right and down.
pub(super) type Point = (f64, f64);

/// Where a text stands relative to its x.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    /// A text whose baseline is at `y`.
    Text { x: f64, y: f64, text: String, align: Align, style: TextStyle },
    /// A filled rectangle.
    Rect { x: f64, y: f64, width: f64, height: f64, fill: RGBColor },
    /// A line through points.
    Line { points: Vec<Point>, width: u32, colour: RGBColor },
    /// A filled polygon.
    Polygon { points: Vec<Point>, fill: RGBColor },
}

/// A plot's shapes, in the order in which they are drawn, and its size in pixels.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sheet {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) shapes: Vec<Shape>,
}

impl Sheet {
    pub(super) fn new(width: u32) -> Self {
        Self { width, height: 0, shapes: Vec::new() }
    }

    /// The sheet, as high as its content, which ends at `bottom`.
    pub(super) fn ending_at(mut self, bottom: f64) -> Self {
        // A few thousand pixels.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
        {
            self.height = (bottom + MARGIN).ceil() as u32;
        }
        self
    }

    pub(super) fn text(&mut self, x: f64, y: f64, align: Align, style: TextStyle, text: impl Into<String>) {
        self.shapes.push(Shape::Text { x, y, text: text.into(), align, style });
    }

    pub(super) fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, fill: RGBColor) {
        self.shapes.push(Shape::Rect { x, y, width, height, fill });
    }

    pub(super) fn line(&mut self, points: Vec<Point>, width: u32, colour: RGBColor) {
        self.shapes.push(Shape::Line { points, width, colour });
    }

    pub(super) fn polygon(&mut self, points: Vec<Point>, fill: RGBColor) {
        self.shapes.push(Shape::Polygon { points, fill });
    }

    /// A rectangle's outline, inside of its edges.
    pub(super) fn frame(&mut self, x: f64, y: f64, width: f64, height: f64, line: u32, colour: RGBColor) {
        let thick = f64::from(line);
        self.rect(x, y, width, thick, colour);
        self.rect(x, y + height - thick, width, thick, colour);
        self.rect(x, y, thick, height, colour);
        self.rect(x + width - thick, y, thick, height, colour);
    }

    /// A line through points that is drawn and left out in turn for the lengths in `dash`; whole where it is empty.
    pub(super) fn dashed(&mut self, points: &[Point], dash: &[f64], width: u32, colour: RGBColor) {
        if dash.is_empty() {
            return self.line(points.to_vec(), width, colour);
        }
        let (mut turn, mut left) = (0, dash[0]);
        let mut run: Vec<Point> = points.first().copied().into_iter().collect();
        for pair in points.windows(2) {
            let (mut from, to) = (pair[0], pair[1]);
            loop {
                let (dx, dy) = (to.0 - from.0, to.1 - from.1);
                let length = dx.hypot(dy);
                if length < left {
                    left -= length;
                    run.push(to);
                    break;
                }
                from = (from.0 + dx * left / length, from.1 + dy * left / length);
                run.push(from);
                if turn % 2 == 0 {
                    self.line(std::mem::take(&mut run), width, colour);
                }
                run = vec![from];
                turn = (turn + 1) % dash.len();
                left = dash[turn];
            }
        }
        if turn % 2 == 0 && run.len() > 1 {
            self.line(run, width, colour);
        }
    }

    /// A marker some `2 · radius` pixels wide.
    pub(super) fn marker(&mut self, (x, y): Point, radius: f64, marker: Marker, fill: RGBColor) {
        let corners = |sides: u32, turn: f64, radius: f64| {
            (0..sides)
                .map(|side| (f64::from(side) / f64::from(sides) + turn) * std::f64::consts::TAU)
                .map(|angle| (x + radius * angle.sin(), y - radius * angle.cos()))
                .collect()
        };
        match marker {
            Marker::Circle => self.polygon(corners(if radius < 4.0 { 8 } else { 16 }, 0.0, radius), fill),
            Marker::Square => self.polygon(corners(4, 0.125, radius * 1.25), fill),
            Marker::Triangle => self.polygon(corners(3, 0.0, radius * 1.3), fill),
            Marker::Diamond => self.polygon(corners(4, 0.0, radius * 1.3), fill),
            Marker::Cross => {
                self.line(vec![(x - radius, y - radius), (x + radius, y + radius)], 2, fill);
                self.line(vec![(x - radius, y + radius), (x + radius, y - radius)], 2, fill);
            }
        }
    }

    /// The sheet as an SVG document.
    pub(super) fn svg(&self) -> Result<String, PlotError> {
        style::register_font();
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, (self.width, self.height)).into_drawing_area();
            area.fill(&WHITE).map_err(PlotError::back_end)?;
            for shape in &self.shapes {
                match shape {
                    // SVG: plotters moves the text 0.76 em down for `VPos::Top`, and takes 1 / 1.24 of the size.
                    Shape::Text { x, y, text, align, style } => {
                        draw_text(&area, (*x, y - 0.76 * style.size), text, *align, *style, 1.24)?;
                    }
                    other => draw(&area, other, 1.0)?,
                }
            }
            area.present().map_err(PlotError::back_end)?;
        }
        Ok(svg)
    }

    /// The sheet as a PNG file.
    pub(super) fn png(&self) -> Result<Vec<u8>, PlotError> {
        style::register_font();
        let (wide, high) = (self.width * OVERSAMPLING, self.height * OVERSAMPLING);
        // White from the start, which is faster than to fill it.
        let mut large = vec![u8::MAX; wide as usize * high as usize * 3];
        {
            let area = BitMapBackend::with_buffer(&mut large, (wide, high)).into_drawing_area();
            let scale = f64::from(OVERSAMPLING);
            for shape in &self.shapes {
                match shape {
                    Shape::Text { x, y, text, align, style } => {
                        let left = match align {
                            Align::Left => *x,
                            Align::Centre => x - style::text_width(text, *style) / 2.0,
                            Align::Right => x - style::text_width(text, *style),
                        };
                        let large = TextStyle { size: style.size * scale, ..*style };
                        // Glyph by glyph, as plotters leaves out each glyph's own distance from its origin; the
                        // baseline lies half the font's height below where it is told to draw.
                        let height = style::FONT_HEIGHT * large.size;
                        for (glyph, offset) in style::glyphs(text, large) {
                            let at = (left * scale + offset, y * scale - height / 2.0);
                            draw_text(
                                &area,
                                at,
                                glyph.encode_utf8(&mut [0; 4]),
                                Align::Left,
                                large,
                                style::FONT_HEIGHT,
                            )?;
                        }
                    }
                    other => draw(&area, other, scale)?,
                }
            }
            area.present().map_err(PlotError::back_end)?;
        }
        encode(&averaged(&large, self.width, self.height), self.width, self.height)
    }
}

/// Draws everything but text, `scale` times as large.
fn draw<DB: DrawingBackend>(area: &DrawingArea<DB, Shift>, shape: &Shape, scale: f64) -> Result<(), PlotError> {
    let at = |&(x, y): &Point| (pixel(x * scale), pixel(y * scale));
    let drawn = match shape {
        Shape::Text { .. } => Ok(()),
        Shape::Rect { x, y, width, height, fill } => {
            let (left, top) = at(&(*x, *y));
            let (right, bottom) = at(&(x + width, y + height));
            // plotters' bitmaps include the right and lower edge, its SVG does not.
            let edge = i32::from(scale > 1.0);
            area.draw(&Rectangle::new(
                [(left, top), ((right - edge).max(left), (bottom - edge).max(top))],
                fill.filled(),
            ))
        }
        Shape::Line { points, width, colour } => {
            let points: Vec<(i32, i32)> = points.iter().map(at).collect();
            let width = width * if scale > 1.0 { OVERSAMPLING } else { 1 };
            area.draw(&PathElement::new(points, colour.stroke_width(width)))
        }
        Shape::Polygon { points, fill } => {
            area.draw(&plotters::element::Polygon::new(points.iter().map(at).collect::<Vec<_>>(), fill.filled()))
        }
    };
    drawn.map_err(PlotError::back_end)
}

fn draw_text<DB: DrawingBackend>(
    area: &DrawingArea<DB, Shift>,
    (x, y): Point,
    text: &str,
    align: Align,
    style: TextStyle,
    size_per_em: f64,
) -> Result<(), PlotError> {
    let weight = if style.bold { FontStyle::Bold } else { FontStyle::Normal };
    let across = match align {
        Align::Left => HPos::Left,
        Align::Centre => HPos::Center,
        Align::Right => HPos::Right,
    };
    let style = FontDesc::new(FontFamily::Name(FAMILY), style.size * size_per_em, weight)
        .color(&style.colour)
        .pos(Pos::new(across, VPos::Top));
    area.draw(&Text::new(text, (pixel(x), pixel(y)), style)).map_err(PlotError::back_end)
}

/// The nearest whole pixel.
fn pixel(value: f64) -> i32 {
    // A sheet is a few thousand pixels wide.
    #[allow(clippy::cast_possible_truncation)]
    {
        value.round() as i32
    }
}

/// Each pixel as the average of the larger picture's pixels that it stands for.
fn averaged(large: &[u8], width: u32, height: u32) -> Vec<u8> {
    let (width, height, factor) = (width as usize, height as usize, OVERSAMPLING as usize);
    let mut sums = vec![0_u32; width * height * 3];
    for (y, row) in large.chunks_exact(width * factor * 3).enumerate() {
        for (x, pixel) in row.chunks_exact(3).enumerate() {
            let at = (y / factor * width + x / factor) * 3;
            for (sum, byte) in sums[at..at + 3].iter_mut().zip(pixel) {
                *sum += u32::from(*byte);
            }
        }
    }
    let parts = OVERSAMPLING * OVERSAMPLING;
    sums.into_iter().map(|sum| u8::try_from(sum / parts).unwrap_or(u8::MAX)).collect()
}

fn encode(pixels: &[u8], width: u32, height: u32) -> Result<Vec<u8>, PlotError> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::High);
    // Flat colours compress best as they are; `set_compression` sets a filter of its own, so this comes after it.
    encoder.set_filter(png::Filter::NoFilter);
    let mut writer = encoder.write_header().map_err(PlotError::back_end)?;
    writer.write_image_data(pixels).map_err(PlotError::back_end)?;
    writer.finish().map_err(PlotError::back_end)?;
    Ok(file)
}

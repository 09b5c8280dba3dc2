//! Writes SVG and HTML text: numbers with one decimal, every outside text escaped.

use std::fmt::Write;

/// Text that may stand in an element or an attribute.
pub(super) fn escape(text: &str) -> String {
    text.chars()
        .fold(String::with_capacity(text.len()), |mut escaped, character| {
            match character {
                '&' => escaped.push_str("&amp;"),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                '"' => escaped.push_str("&quot;"),
                '\'' => escaped.push_str("&#39;"),
                other => escaped.push(other),
            }
            escaped
        })
}

/// A drawing that grows; the class of an element gives its look.
#[derive(Debug, Default)]
pub(super) struct Drawing(String);

/// Where a text is anchored: at its start, middle or end.
pub(super) type Anchor = &'static str;

impl Drawing {
    /// Adds finished markup.
    pub(super) fn raw(&mut self, markup: &str) {
        self.0.push_str(markup);
    }

    /// A line.
    pub(super) fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        self.raw(&format!(
            r#"<line class="{class}" x1="{:.1}" y1="{:.1}" x2="{:.1}" y2="{:.1}"/>"#,
            from.0, from.1, to.0, to.1
        ));
    }

    /// A rectangle; nothing where it has no size.
    pub(super) fn rectangle(&mut self, class: &str, (x, y): (f64, f64), (width, height): (f64, f64)) {
        if width > 0.0 && height > 0.0 {
            self.raw(&format!(
                r#"<rect class="{class}" x="{x:.1}" y="{y:.1}" width="{width:.1}" height="{height:.1}"/>"#
            ));
        }
    }

    /// A text.
    pub(super) fn text(&mut self, class: &str, (x, y): (f64, f64), anchor: Anchor, text: &str) {
        self.raw(&format!(
            r#"<text class="{class}" x="{x:.1}" y="{y:.1}" text-anchor="{anchor}">{}</text>"#,
            escape(text)
        ));
    }

    /// Lines through points, one per unbroken run.
    pub(super) fn path(&mut self, class: &str, runs: &[Vec<(f64, f64)>]) {
        let data: String = runs.iter().map(|run| path_data(run)).collect();
        if !data.is_empty() {
            self.raw(&format!(r#"<path class="{class}" d="{data}"/>"#));
        }
    }

    /// The finished picture.
    pub(super) fn finish(self, class: &str, label: &str, (width, height): (f64, f64)) -> String {
        format!(
            r#"<svg class="{class}" viewBox="0 0 {width:.0} {height:.0}" role="img" aria-label="{}">{}</svg>"#,
            escape(label),
            self.0
        )
    }
}

/// The `d` of a line through points.
pub(super) fn path_data(points: &[(f64, f64)]) -> String {
    points.iter().enumerate().fold(String::new(), |mut data, (at, (x, y))| {
        // Writing to a String cannot fail.
        let _ = write!(data, "{}{x:.1} {y:.1}", if at == 0 { "M" } else { "L" });
        data
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outside_text_cannot_leave_its_place() {
        assert_eq!(escape(r#"<b a="1">&'"#), "&lt;b a=&quot;1&quot;&gt;&amp;&#39;");
        let mut drawing = Drawing::default();
        drawing.text("axis", (1.0, 2.0), "end", "<script>");
        let picture = drawing.finish("chart", "a\"b", (10.0, 20.0));
        assert!(picture.contains("&lt;script&gt;") && picture.contains("a&quot;b"));
    }

    #[test]
    fn a_path_starts_anew_after_a_break() {
        let mut drawing = Drawing::default();
        drawing.path("price", &[vec![(0.0, 1.0), (2.0, 3.0)], vec![(4.0, 5.0)]]);
        assert!(
            drawing
                .finish("c", "l", (1.0, 1.0))
                .contains("M0.0 1.0L2.0 3.0M4.0 5.0")
        );
    }
}

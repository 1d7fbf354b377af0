//! Columns of text, colours and folded paragraphs for terminals.

/// ANSI colours, or none.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint(pub(crate) bool);

impl Paint {
    pub(crate) fn with(self, code: &str, text: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.with("2", text)
    }
}

/// Rows as lines, indented by two, the first column to the left and the others to the right; a heading comes first.
///
/// Columns of which `left` holds the index are to the left as well.
pub(crate) fn columns(paint: Paint, heading: &[&str], rows: &[Vec<String>], left: &[usize]) -> String {
    columns_after("  ", paint, heading, rows, left)
}

/// The same with something else before each line.
pub(crate) fn columns_after(
    indent: &str,
    paint: Paint,
    heading: &[&str],
    rows: &[Vec<String>],
    left: &[usize],
) -> String {
    let mut widths: Vec<usize> = heading.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut out = indent.to_owned();
        for (index, (cell, width)) in cells.zip(&widths).enumerate() {
            let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
            if index > 0 {
                out.push_str("  ");
            }
            if index == 0 || left.contains(&index) {
                out.push_str(cell);
                out.push_str(&gap);
            } else {
                out.push_str(&gap);
                out.push_str(cell);
            }
        }
        out.trim_end().to_owned()
    };
    let mut out = paint.dim(&line(&mut heading.iter().copied()));
    out.push('\n');
    for row in rows {
        out.push_str(&line(&mut row.iter().map(String::as_str)));
        out.push('\n');
    }
    out
}

/// `text` folded at spaces so that no line is wider than `width` unless one word is; lines after the first are indented
/// by `indent`. Ends with a newline.
pub(crate) fn fold(text: &str, width: usize, indent: usize) -> String {
    let lead = text.chars().take_while(|c| *c == ' ').count();
    let mut out = " ".repeat(lead);
    let mut column = lead;
    for (index, word) in text.split_whitespace().enumerate() {
        let length = word.chars().count();
        if index > 0 && column + 1 + length > width.max(20) {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else if index > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_by_characters_not_bytes() {
        let rows = vec![vec!["a".to_owned(), "≥1.00µs".to_owned()], vec!["bb".to_owned(), "1.00ms".to_owned()]];
        let text = columns(Paint(false), &["x", "p50"], &rows, &[]);
        assert_eq!(text, "  x       p50\n  a   ≥1.00µs\n  bb   1.00ms\n");
    }

    #[test]
    fn long_paragraphs_are_folded_and_indented() {
        assert_eq!(fold("  aaaaaaaa bbbbbbbb cccccccc", 20, 4), "  aaaaaaaa bbbbbbbb\n    cccccccc\n");
        assert_eq!(fold("", 20, 4), "\n");
    }
}

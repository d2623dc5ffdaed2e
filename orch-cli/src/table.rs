//! Columns for people.

use std::fmt::Write;

/// Where a column's cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Left,
    Right,
}

pub(crate) use Side::{Left, Right};

/// Rows under a head. Whoever fills it cleans the cells.
pub(crate) struct Table<const N: usize> {
    columns: [(&'static str, Side); N],
    rows: Vec<[String; N]>,
}

impl<const N: usize> Table<N> {
    pub(crate) fn new(columns: [(&'static str, Side); N]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    pub(crate) fn add(&mut self, row: [String; N]) {
        self.rows.push(row);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The head and the rows; columns without a single cell are left out.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        self.line(&mut text, &self.columns.map(|(name, _)| name.to_owned()), &self.widths());
        text.push_str(&self.body());
        text
    }

    /// The rows without their head.
    pub(crate) fn body(&self) -> String {
        let (mut text, widths) = (String::new(), self.widths());
        for row in &self.rows {
            self.line(&mut text, row, &widths);
        }
        text
    }

    fn widths(&self) -> [usize; N] {
        let mut widths = [0; N];
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = (*width).max(cell.chars().count());
            }
        }
        for (width, (name, _)) in widths.iter_mut().zip(self.columns) {
            *width = if *width == 0 { 0 } else { (*width).max(name.len()) };
        }
        widths
    }

    fn line(&self, text: &mut String, cells: &[String; N], widths: &[usize; N]) {
        let mut line = String::new();
        for ((cell, (_, side)), width) in cells.iter().zip(self.columns).zip(*widths) {
            if width == 0 {
                continue;
            }
            // A String takes all that is written.
            let _ = match side {
                Side::Left => write!(line, "{cell:<width$}  "),
                Side::Right => write!(line, "{cell:>width$}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_under_their_heads_and_empty_ones_are_left_out() {
        let mut table = Table::new([("n", Right), ("none", Left), ("name", Left), ("x", Left)]);
        table.add(["1".into(), String::new(), "é".into(), "last".into()]);
        table.add(["10".into(), String::new(), "longer".into(), String::new()]);
        assert_eq!(table.text(), " n  name    x\n 1  é       last\n10  longer\n");
        assert_eq!(table.body(), " 1  é       last\n10  longer\n");
    }
}

//! Tables for people: columns aligned, no lines, colour only on whole rows.

use comfy_table::{ContentArrangement, presets};

/// How much a row wants to be seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// Like the others.
    Plain,
    /// Something to look at.
    Notable,
    /// Something that is wrong, or about to be.
    Urgent,
}

impl Weight {
    /// The escape sequence that starts such a row.
    const fn start(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Notable => Some("\x1b[33m"),
            Self::Urgent => Some("\x1b[31m"),
        }
    }
}

const HEADER: &str = "\x1b[1m";
const END: &str = "\x1b[0m";

/// A table under construction.
#[derive(Debug)]
pub struct Table {
    table: comfy_table::Table,
    weights: Vec<Weight>,
}

impl Table {
    /// A table with these columns.
    pub fn new(columns: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table
            .load_style(presets::NOTHING)
            .set_content_arrangement(ContentArrangement::Disabled)
            .set_header(columns.to_vec());
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        Self {
            table,
            weights: Vec::new(),
        }
    }

    /// Adds a row: one cell a column, none with a line break.
    pub fn row(&mut self, weight: Weight, cells: Vec<String>) {
        self.table.add_row(cells);
        self.weights.push(weight);
    }

    /// One line for the header and one a row, each with its line break.
    pub fn render(&self, colour: bool) -> String {
        let starts =
            std::iter::once(Some(HEADER)).chain(self.weights.iter().map(|weight| weight.start()));
        let mut text = String::new();
        for (line, start) in self.table.lines().zip(starts) {
            let line = line.trim_end();
            match start.filter(|_| colour) {
                Some(start) => text.extend([start, line, END]),
                None => text.push_str(line),
            }
            text.push('\n');
        }
        text
    }
}

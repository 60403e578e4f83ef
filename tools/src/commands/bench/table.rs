//! The table that the bench prints: a row for each measure, a column for each app.

use std::fmt::{Display, Formatter};

/// Measures of some apps.
#[derive(Debug, Default)]
pub(super) struct Table {
    apps: Vec<String>,
    rows: Vec<Row>,
}

#[derive(Debug)]
struct Row {
    measure: String,
    how: &'static str,
    /// By app; shorter where a measure came first with a later app.
    values: Vec<String>,
}

/// The column of one app.
pub(super) struct Column<'table> {
    table: &'table mut Table,
    index: usize,
}

impl Table {
    /// Without any measure.
    pub(super) fn new() -> Self {
        Self::default()
    }

    /// Adds a column.
    pub(super) fn column(&mut self, app: &str) -> Column<'_> {
        self.apps.push(app.to_owned());
        Column {
            index: self.apps.len() - 1,
            table: self,
        }
    }
}

impl Column<'_> {
    /// The app's name.
    pub(super) fn app(&self) -> &str {
        &self.table.apps[self.index]
    }

    /// Says on standard error what is being measured.
    pub(super) fn announce(&self, what: &str) {
        eprintln!("bench: {}: {what}", self.app());
    }

    /// Fills in a measure; `how` it was taken is said once.
    pub(super) fn add(&mut self, measure: &str, value: impl Display, how: &'static str) {
        eprintln!("bench: {}: {measure}: {value}", self.app());
        let rows = &mut self.table.rows;
        let position = rows
            .iter()
            .position(|row| row.measure == measure)
            .unwrap_or_else(|| {
                rows.push(Row {
                    measure: measure.to_owned(),
                    how,
                    values: Vec::new(),
                });
                rows.len() - 1
            });
        let values = &mut rows[position].values;
        values.resize(self.index, "-".to_owned());
        values.push(value.to_string());
    }
}

impl Display for Table {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> std::fmt::Result {
        writeln!(formatter, "| measure | {} | how |", self.apps.join(" | "))?;
        writeln!(formatter, "|---|{}---|", "---:|".repeat(self.apps.len()))?;
        for row in &self.rows {
            let mut values = row.values.clone();
            values.resize(self.apps.len(), "-".to_owned());
            writeln!(
                formatter,
                "| {} | {} | {} |",
                row.measure,
                values.join(" | "),
                row.how
            )?;
        }
        Ok(())
    }
}

/// Writes a number with commas: 1234567 as 1,234,567.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }

    #[test]
    fn apps_are_columns() {
        let mut table = Table::new();
        table.column("hello").add("image", 1, "the file");
        let mut column = table.column("2048");
        column.add("image", 2, "the file");
        column.add("assets", 3, "apart");
        let expected = "| measure | hello | 2048 | how |\n|---|---:|---:|---|\n\
                        | image | 1 | 2 | the file |\n| assets | - | 3 | apart |\n";
        assert_eq!(table.to_string(), expected);
    }
}

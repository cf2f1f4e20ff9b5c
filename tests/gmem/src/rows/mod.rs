//! The rows of the behaviour table of guest memory files: one function each, over any target.
//!
//! | module | rows | what |
//! |---|---|---|
//! | `in_place` | GM-01..GM-08 | conversion in place |
//! | `references` | GM-09..GM-11, GM-24 | what holds a page, and so its conversion |
//! | `content` | GM-12..GM-21 | what becomes of the bytes |
//! | `neighbours` | GM-22, GM-23, GM-25..GM-29 | other conversions |
//! | `attributes` | GM-30..GM-41 | arguments of the conversion |
//! | `create` | GM-42..GM-45, GM-54, GM-64 | the file itself |
//! | `mapping` | GM-46..GM-53 | the file in a process |
//! | `allocate` | GM-55..GM-61, GM-65 | allocating and freeing |
//! | `binding` | GM-62, GM-63, GM-87..GM-95 | slots |
//! | `life` | GM-66..GM-74 | a guest that converts, with and without allocation |
//! | `exits` | GM-75..GM-78 | what a guest's access without memory looks like |
//! | `prefault` | GM-79..GM-86 | mapping before the guest touches |
//! | `measured` | GM-96..GM-107 | what was first seen on Linux 6.18 |
//!
//! Values that a page holds are single bytes: `A`, `B` … in the rows' own words.

mod allocate;
mod attributes;
mod binding;
mod content;
mod create;
mod exits;
mod in_place;
mod life;
mod mapping;
mod measured;
mod needs;
mod neighbours;
mod pages;
mod prefault;
mod references;
mod run;
mod trial;

pub use run::{Standing, run, run_all};
pub use trial::{Outcome, Trial};

/// Whether a row can be tried on a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applies {
    /// All of it.
    Yes,
    /// This part of it.
    Part(&'static str),
    /// The machine lacks this.
    Skip(&'static str),
    /// There is nothing to try on such a target, and why.
    No(&'static str),
}

/// One row.
pub struct Row {
    /// Its id in the table.
    pub id: &'static str,
    /// What it says.
    pub says: &'static str,
    /// Whether it can be tried.
    pub applies: fn(&mut Trial) -> Applies,
    /// Tries it.
    pub check: fn(&mut Trial) -> Outcome,
}

const fn row(
    id: &'static str,
    says: &'static str,
    applies: fn(&mut Trial) -> Applies,
    check: fn(&mut Trial) -> Outcome,
) -> Row {
    Row { id, says, applies, check }
}

/// A row that no target of ours can try.
const fn never(id: &'static str, says: &'static str, applies: fn(&mut Trial) -> Applies) -> Row {
    row(id, says, applies, |_| Err("this row was not meant to be tried".into()))
}

const GROUPS: [&[Row]; 13] = [
    in_place::ROWS,
    references::ROWS,
    content::ROWS,
    neighbours::ROWS,
    attributes::ROWS,
    create::ROWS,
    mapping::ROWS,
    allocate::ROWS,
    binding::ROWS,
    life::ROWS,
    exits::ROWS,
    prefault::ROWS,
    measured::ROWS,
];

/// Every row, by id.
pub fn all() -> Vec<&'static Row> {
    let mut rows: Vec<_> = GROUPS.into_iter().flatten().collect();
    rows.sort_by_key(|row| row.id.trim_start_matches("GM-").parse::<u32>().unwrap_or(u32::MAX));
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_table_is_there_once() {
        let ids: Vec<_> = all().into_iter().map(|row| row.id.to_owned()).collect();
        let table: Vec<_> = (1..=107).map(|number| format!("GM-{number:02}")).collect();
        assert_eq!(ids, table);
    }
}

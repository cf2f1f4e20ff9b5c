//! What a stage-2 map leads to, read from the bytes in memory: bit 0 of an entry is *valid*, bit 1 means *table* above level 3,
//! bits 12..48 the address; the maps have 40 bits, so two root tables stand at level 1.

use super::Board;

/// Consecutive pages at consecutive frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    at: u64,
    frame: u64,
    pages: u64,
}

/// All pages that a map leads to. Kept as runs: most maps are a few, and an interpreter feels the difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaves(Vec<Run>);

impl Leaves {
    /// The frame behind the page `at`.
    pub fn get(&self, at: u64) -> Option<u64> {
        let after = self.0.partition_point(|run| run.at <= at);
        let run = self.0.get(after.checked_sub(1)?)?;
        (at - run.at < run.pages).then(|| run.frame + (at - run.at))
    }

    /// The pages behind which `frame` is.
    pub fn of_frame(&self, frame: u64) -> impl Iterator<Item = u64> + '_ {
        let into = move |run: &Run| frame.checked_sub(run.frame).filter(|&into| into < run.pages);
        self.0.iter().filter_map(move |run| Some(run.at + into(run)?))
    }

    /// The first page.
    pub fn first(&self) -> Option<u64> {
        self.0.first().map(|run| run.at)
    }

    /// How many pages there are.
    pub fn pages(&self) -> u64 {
        self.0.iter().map(|run| run.pages).sum()
    }

    fn push(&mut self, new: Run) {
        match self.0.last_mut() {
            Some(last) if last.at + last.pages == new.at && last.frame + last.pages == new.frame => {
                last.pages += new.pages;
            }
            last => {
                assert!(last.is_none_or(|last| last.at + last.pages <= new.at), "a page is mapped twice");
                self.0.push(new);
            }
        }
    }
}

impl Board {
    /// Every page that the map at `root` leads to.
    pub fn leaves(&self, root: u64) -> Leaves {
        let mut found = Leaves(Vec::new());
        for table in 0..2 {
            self.walk(root + table, 1, table << 27, &mut found);
        }
        found
    }

    fn walk(&self, table: u64, level: u32, base: u64, found: &mut Leaves) {
        // A page that was never used is zero.
        let Some(table) = self.cell(table).get() else { return };
        let shift = 9 * (3 - level);
        for index in 0..512 {
            let raw = table.load(index);
            if raw == 0 {
                continue;
            }
            let (at, frame) = (base + ((index as u64) << shift), (raw & 0xffff_ffff_f000) >> 12);
            match (raw & 3, level) {
                (3, 1 | 2) => self.walk(frame, level + 1, at, found),
                (3, 3) | (1, 2) => found.push(Run { at, frame, pages: 1 << shift }),
                (raw, _) => assert_eq!(raw & 1, 0, "a leaf at level {level}"),
            }
        }
    }
}

//! Stage-2 tables as a CPU reads them, from the bits alone.
//!
//! 40-bit input addresses with 4 KiB granule: two level-1 tables side by side, then levels 2 and 3 (Arm ARM, D8.3).
//!
//! | bits of a descriptor | meaning |
//! |---|---|
//! | 0 | 0: no access; the other bits are software's |
//! | 1 | level 3: must be 1; above: 1 a table, 0 a block |
//! | 12..48 | output address |

use std::collections::BTreeMap;
use tenure_test_board::Board;

/// What the tables say of one input frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// This frame is there.
    Frame(u64),
    /// No access, but a note is left.
    Note,
}

const ENTRIES: u64 = 512;
const ADDRESS: u64 = (1 << 48) - (1 << 12);
/// Frames that an entry of each level stands for.
const SPAN: [(u32, u64); 3] = [(1, 1 << 18), (2, 1 << 9), (3, 1)];

/// Every input frame of which the tables at `root` say anything.
pub fn all(board: &Board, root: u64) -> BTreeMap<u64, Seen> {
    let mut seen = BTreeMap::new();
    for half in 0..2 {
        below(board, root + half, half * ENTRIES * SPAN[0].1, &SPAN, &mut seen);
    }
    seen
}

/// What the tables at `root` say of one input frame.
pub fn one(board: &Board, root: u64, frame: u64) -> Option<Seen> {
    let mut table = root + frame / (ENTRIES * SPAN[0].1);
    for (level, span) in SPAN {
        let entry = board.read(table, (frame / span % ENTRIES) as usize);
        match decode(entry, level) {
            Entry::Nothing => return None,
            Entry::Note => return Some(Seen::Note),
            Entry::Leaf(first) => return Some(Seen::Frame(first + frame % span)),
            Entry::Table(next) => table = next,
        }
    }
    None
}

enum Entry {
    Nothing,
    Note,
    Leaf(u64),
    Table(u64),
}

fn decode(entry: u64, level: u32) -> Entry {
    let target = (entry & ADDRESS) >> 12;
    match (entry & 3, level) {
        (0 | 2, _) if entry == 0 => Entry::Nothing,
        // At level 3 the value of a block is reserved, and a reserved descriptor gives no access.
        (0 | 2, _) | (1, 3) => Entry::Note,
        (3, 3) | (1, _) => Entry::Leaf(target),
        _ => Entry::Table(target),
    }
}

fn below(board: &Board, table: u64, from: u64, levels: &[(u32, u64)], seen: &mut BTreeMap<u64, Seen>) {
    let Some((&(level, span), deeper)) = levels.split_first() else { return };
    for index in 0..ENTRIES {
        let first = from + index * span;
        match decode(board.read(table, index as usize), level) {
            Entry::Nothing => {}
            Entry::Note => seen.extend((first..first + span).map(|frame| (frame, Seen::Note))),
            Entry::Leaf(target) => seen.extend((0..span).map(|i| (first + i, Seen::Frame(target + i)))),
            Entry::Table(next) => below(board, next, first, deeper, seen),
        }
    }
}

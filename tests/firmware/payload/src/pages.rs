//! Physical pages to give away, from the pool of the layout: first fit over a bitmap.

use firmware_board::layout::{POOL, RAM_END};
use tenure_arch::lock::Locked;

const PAGE: u64 = 4096;
const PAGES: usize = ((RAM_END - POOL) / PAGE) as usize;

/// One bit a page, set while it is handed out.
static TAKEN: Locked<[u64; PAGES / 64]> = Locked::new([0; PAGES / 64]);

fn taken(map: &[u64], page: usize) -> bool {
    map.get(page / 64).is_none_or(|word| word >> (page % 64) & 1 != 0)
}

fn mark(map: &mut [u64], page: usize, is_taken: bool) {
    if let Some(word) = map.get_mut(page / 64) {
        let bit = 1 << (page % 64);
        *word = if is_taken { *word | bit } else { *word & !bit };
    }
}

/// The byte address of `count` pages in a row, the first a multiple of `align` pages. Content is as it was.
pub(crate) fn alloc(count: usize, align: usize) -> Option<u64> {
    let mut map = TAKEN.lock();
    let first = (0..PAGES).step_by(align.max(1)).find(|&first| {
        first.checked_add(count).is_some_and(|end| end <= PAGES && (first..end).all(|page| !taken(&map[..], page)))
    })?;
    (first..first + count).for_each(|page| mark(&mut map[..], page, true));
    Some(POOL + first as u64 * PAGE)
}

/// Takes pages back.
pub(crate) fn free(address: u64, count: usize) {
    let mut map = TAKEN.lock();
    if let Some(offset) = address.checked_sub(POOL) {
        let first = (offset / PAGE) as usize;
        (first..first.saturating_add(count).min(PAGES)).for_each(|page| mark(&mut map[..], page, false));
    }
}

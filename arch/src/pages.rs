//! Where table pages come from, and where they go back to.
//!
//! A map never allocates: whoever owns it hands in a [`TablePages`] with each call that may need some.
//! [`TableStack`] is the plain one: free pages linked through their own first word, so that it needs no
//! memory beside them and holds any number.

use crate::window::Window;
use tenure_abi::{Error, Pfn};

/// A supply of pages for tables.
pub trait TablePages {
    /// How many pages [`TablePages::take`] can give now.
    fn available(&self) -> usize;

    /// A page of any content; its new user zeroes it. `None` only when none is available.
    fn take(&mut self) -> Option<Pfn>;

    /// Takes a page back that no table and no TLB refers to any more.
    fn give_back(&mut self, page: Pfn);
}

/// Free table pages, last in first out, linked through the first word of each page.
pub struct TableStack<'w, W: Window> {
    window: &'w W,
    head: Option<Pfn>,
    count: usize,
}

impl<'w, W: Window> TableStack<'w, W> {
    /// A stack without pages; its pages are reached through `window`.
    pub const fn new(window: &'w W) -> Self {
        Self { window, head: None, count: 0 }
    }

    /// Adds a page that nothing else uses.
    ///
    /// # Errors
    /// [`Error::Fault`] if the window does not reach it: the stack is unchanged.
    pub fn push(&mut self, page: Pfn) -> Result<(), Error> {
        let table = self.window.table(page).ok_or(Error::Fault)?;
        // A link is the next frame plus one; 0 ends the list.
        table.store(0, self.head.map_or(0, |next| next.number() + 1));
        self.head = Some(page);
        self.count += 1;
        Ok(())
    }
}

impl<W: Window> TablePages for TableStack<'_, W> {
    fn available(&self) -> usize {
        self.count
    }

    fn take(&mut self) -> Option<Pfn> {
        let page = self.head?;
        let link = self.window.table(page)?.load(0);
        self.head = link.checked_sub(1).and_then(|number| Pfn::new(number).ok());
        self.count = self.count.saturating_sub(1);
        Some(page)
    }

    fn give_back(&mut self, page: Pfn) {
        // A page that came out of a table is in the window. One that is not could never be taken
        // again: leaving it out loses nothing that this stack could give.
        let _ = self.push(page);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::Arena;

    #[test]
    fn pages_come_out_once_each_and_counted() {
        let arena = Arena::<3>::new(Pfn::new(0).unwrap()).unwrap();
        let mut stack = TableStack::new(&arena);
        assert_eq!(stack.take(), None);
        for i in 0..3 {
            stack.push(arena.frame(i).unwrap()).unwrap();
        }
        assert_eq!(stack.push(Pfn::new(3).unwrap()), Err(Error::Fault));
        for left in (0..3).rev() {
            assert_eq!(stack.take(), arena.frame(left));
            assert_eq!(stack.available(), left);
        }
        assert_eq!(stack.take(), None);
    }
}

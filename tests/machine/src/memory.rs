//! RAM: sparse frames of 512 words.
//!
//! A frame comes into being, zeroed, when it is first reached, and stays; so a reference to it is good for as long as the memory.

use crate::atomic::AtomicU64;
use crate::step::{Kind, primitive};
use std::sync::OnceLock;
use tenure_abi::{FrameRange, Pfn};

/// Words of a frame.
pub const WORDS: usize = 512;

/// One frame: 4 KiB.
#[derive(Debug)]
#[repr(C, align(4096))]
pub struct Frame([AtomicU64; WORDS]);

const _: () = assert!(size_of::<Frame>() == 4096);

impl Frame {
    fn zeroed() -> Self {
        Self([const { AtomicU64::new(0) }; WORDS])
    }

    /// Its words, as software reads and writes them.
    pub fn words(&self) -> &[AtomicU64; WORDS] {
        &self.0
    }

    /// Word `index` modulo 512, seen from outside of the machine: no primitive.
    pub fn peek(&self, index: usize) -> u64 {
        self.0[index % WORDS].peek()
    }

    /// Writes it likewise.
    pub fn poke(&self, index: usize, value: u64) {
        self.0[index % WORDS].poke(value);
    }

    /// Word `index` modulo 512, as a table walker reads it.
    pub(crate) fn walked(&self, index: usize) -> u64 {
        self.0[index % WORDS].walked()
    }

    /// Zeroes the frame; others may run before and half-way.
    pub fn zero(&self) {
        for half in self.0.chunks(WORDS / 2) {
            primitive(Kind::Frame);
            for word in half {
                word.poke(0);
            }
        }
    }
}

/// Frames that lead to a table of frames each, so that a wide span with little in it costs little.
type Group = [OnceLock<Box<Frame>>; WORDS];

/// All RAM.
#[derive(Debug)]
pub struct Memory {
    first: u64,
    count: u64,
    groups: Vec<OnceLock<Box<Group>>>,
}

impl Memory {
    /// RAM at `frames`, all zero.
    pub fn new(frames: FrameRange<Pfn>) -> Self {
        let groups = frames.count().div_ceil(WORDS as u64);
        Self {
            first: frames.first().number(),
            count: frames.count(),
            groups: (0..groups).map(|_| OnceLock::new()).collect(),
        }
    }

    /// Frame `pfn`; `None` if there is no RAM.
    pub fn frame(&self, pfn: Pfn) -> Option<&Frame> {
        let index = pfn.number().checked_sub(self.first).filter(|&i| i < self.count)?;
        let index = usize::try_from(index).ok()?;
        let group = self.groups.get(index / WORDS)?.get_or_init(|| Box::new([const { OnceLock::new() }; WORDS]));
        Some(group.get(index % WORDS)?.get_or_init(|| Box::new(Frame::zeroed())))
    }
}

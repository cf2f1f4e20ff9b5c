//! The visibility store against an interval map, and what it takes.
//!
//! Both do the same, with the same numbers: a conversion asks whether its range is already so and sets it if not (on the store
//! that is prepare, set and tidy), and a lookup asks for one page, as a fault does. A sample is short, so that on a busy machine
//! most of them are not interrupted.

use crate::interval::Intervals;
use crate::{figure, median};
use std::hint::black_box;
use tenure_abi::Visibility::{self, Private, Shared};
use tenure_host::gmem::store::Store;
use tenure_host::gmem::{Node, SliceNodes};

/// Pages of 1 TiB.
const TEBIBYTE: u64 = 1 << 28;
/// Steps of a sample.
const CALLS: u32 = 300;
/// Steps before they repeat: so many that no processor learns them.
const STEPS: usize = 1 << 17;
/// Fragments: twice as many places each of which is private or shared at random.
const FRAGMENTS: u64 = 4096;

/// A map of visibility under test.
trait Map {
    fn get(&self, page: u64) -> Visibility;
    fn is(&self, first: u64, count: u64, all: Visibility) -> bool;
    fn set(&mut self, first: u64, count: u64, all: Visibility);

    /// One conversion.
    fn convert(&mut self, first: u64, count: u64, all: Visibility) {
        if !self.is(first, count, all) {
            self.set(first, count, all);
        }
    }
}

impl Map for Intervals {
    fn get(&self, page: u64) -> Visibility {
        self.get(page)
    }
    fn is(&self, first: u64, count: u64, all: Visibility) -> bool {
        self.is(first, count, all)
    }
    fn set(&mut self, first: u64, count: u64, all: Visibility) {
        self.set(first, count, all);
    }
}

/// A store and its pool.
struct Stored {
    store: Store,
    nodes: SliceNodes<'static>,
}

impl Stored {
    fn new(pages: u64, nodes: usize) -> Self {
        let store = Store::new(pages, Private).unwrap_or_else(|error| unreachable!("{error:?}"));
        Self { store, nodes: SliceNodes::new(vec![Node::ZERO; nodes + 1].leak()) }
    }

    fn bytes(&self) -> usize {
        size_of::<Store>() + self.nodes.lent() * size_of::<Node>()
    }
}

impl Map for Stored {
    fn get(&self, page: u64) -> Visibility {
        self.store.get(&self.nodes, page)
    }
    fn is(&self, first: u64, count: u64, all: Visibility) -> bool {
        self.store.is(&self.nodes, first, count, all)
    }
    fn set(&mut self, first: u64, count: u64, all: Visibility) {
        let Self { store, nodes } = self;
        store.prepare(nodes, first, count).unwrap_or_else(|error| unreachable!("{error:?}"));
        store.set(nodes, first, count, all);
        store.tidy(nodes, first, count, |_, _| false);
    }
}

/// A conversion and then a lookup.
struct Step {
    first: u64,
    count: u64,
    all: Visibility,
    lookup: u64,
}

/// Does every step, so that the map is as the steps leave it, and again for as long as it is measured: the time of one.
fn timed(map: &mut impl Map, steps: &[Step]) -> f64 {
    let mut take = |step: &Step| {
        let step = black_box(step);
        map.convert(step.first, step.count, step.all);
        black_box(map.get(step.lookup));
    };
    steps.iter().for_each(&mut take);
    let mut next = steps.iter().cycle();
    median(CALLS, || next.next().into_iter().for_each(&mut take))
}

/// Numbers that look random and are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 20) % end
    }
}

/// A range of 2 MiB to 64 GiB becomes shared and private again, somewhere in a private file of 1 TiB; a lookup after each.
fn uniform() -> Vec<Step> {
    const SIZES: [u32; 4] = [9, 14, 18, 24];
    let mut random = Random(1);
    let mut steps = Vec::new();
    for _ in 0..STEPS / 2 {
        let shift = SIZES[random.below(4) as usize];
        let first = random.below(TEBIBYTE) >> shift << shift;
        for all in [Shared, Private] {
            steps.push(Step { first, count: 1 << shift, all, lookup: random.below(TEBIBYTE) });
        }
    }
    steps
}

/// A place of `1 << shift` pages becomes private or shared, at random both; then a lookup anywhere.
fn fragmented(shift: u32) -> Vec<Step> {
    let mut random = Random(2);
    let places = 2 * FRAGMENTS;
    let mut step = || Step {
        first: random.below(places) << shift,
        count: 1 << shift,
        all: if random.below(2) == 0 { Private } else { Shared },
        lookup: random.below(places << shift),
    };
    (0..STEPS).map(|_| step()).collect()
}

/// The figures of a fragmented file: how much longer the interval map takes.
fn fragments(name: &str, shift: u32) {
    let pages = (2 * FRAGMENTS) << shift;
    let (mut store, mut map) = (Stored::new(pages, 1000), Intervals::new(pages, Private));
    let steps = fragmented(shift);
    let (stored, mapped) = (timed(&mut store, &steps), timed(&mut map, &steps));
    figure(&format!("gmem.btree_over_store_{name}"), mapped / stored, "ratio");
    figure(&format!("gmem.store_{name}"), stored, "ns");
    assert!(map.len().abs_diff(FRAGMENTS as usize) < 300, "{} fragments", map.len());
}

/// The store against the interval map.
pub(crate) fn times() {
    let (mut store, mut map) = (Stored::new(TEBIBYTE, 10), Intervals::new(TEBIBYTE, Private));
    let steps = uniform();
    let (stored, mapped) = (timed(&mut store, &steps), timed(&mut map, &steps));
    figure("gmem.store_uniform_over_btree", stored / mapped, "ratio");
    figure("gmem.store_uniform", stored, "ns");
    fragments("fragmented", 0);
    fragments("fragmented_2m", 9);
}

/// What the store of a file of 1 TiB takes.
pub(crate) fn sizes() {
    bytes("gmem.store_bytes_1t_uniform", &Stored::new(TEBIBYTE, 0));
    // Every node there can be: two stretches in every 128 MiB.
    let mut worst = Stored::new(TEBIBYTE, 9000);
    for page in (0..TEBIBYTE).step_by(1 << 15).flat_map(|leaf| [leaf + 1, leaf + 3]) {
        worst.set(page, 1, Shared);
    }
    bytes("gmem.store_bytes_1t_worst", &worst);
}

#[expect(clippy::cast_precision_loss, reason = "counts of bytes are far below 2^52")]
fn bytes(name: &str, store: &Stored) {
    figure(name, store.bytes() as f64, "bytes");
}

//! The store against the interval map: random operations, several under way at once, and every take that can fail.

use super::store_model::Model;
use super::{Failing, Random, memory, steps};
use crate::gmem::store::Store;
use std::vec::Vec;
use tenure_abi::{Error, Visibility::Private, Visibility::Shared};

fn touch(a: (u64, u64), b: (u64, u64)) -> bool {
    a.0 < b.0 + b.1 && b.0 < a.0 + a.1
}

fn walk(pages: u64, seed: u64, steps: u32) {
    let mut random = Random(seed);
    let mut memory = memory(if cfg!(miri) { 300 } else { 4000 });
    let mut nodes = Failing::new(&mut memory);
    let all = if seed.is_multiple_of(2) { Private } else { Shared };
    let (mut store, mut model) = (Store::new(pages, all).unwrap(), Model::new(pages, all));
    // What was prepared and waits to be set or given up.
    let mut under_way: Vec<(u64, u64)> = Vec::new();
    for step in 0..steps {
        let range = random.range(pages);
        if under_way.len() < 3 && !under_way.iter().any(|other| touch(*other, range)) {
            nodes.until_it_works(
                |nodes| store_prepare(&mut store, nodes, range),
                |_, error| assert_eq!(error, Error::NoMemory),
            );
            under_way.push(range);
        } else if let Some((first, count)) = under_way.pop() {
            if random.below(4) != 0 {
                let all = if random.below(2) == 0 { Private } else { Shared };
                store.set(&mut nodes, first, count, all);
                model.set(first, count, all);
            }
            store.tidy(&mut nodes, first, count, |first, count| {
                under_way.iter().any(|other| touch(*other, (first, count)))
            });
            if under_way.is_empty() {
                assert_eq!(nodes.lent(), model.nodes(), "step {step}: nodes that need not be there, or too few");
            }
            // The next to end need not be the last to have begun.
            if let Some(last) = under_way.len().checked_sub(1) {
                under_way.swap(random.below(last as u64 + 1) as usize, last);
            }
        }
        model.same_somewhere(&store, &nodes, &mut random);
        if step % 64 == 0 {
            model.same_everywhere(&store, &nodes);
        }
    }
    store.tidy(&mut nodes, 0, pages, |_, _| false);
    model.same_everywhere(&store, &nodes);
    assert_eq!(nodes.lent(), model.nodes());
    store.prepare(&mut nodes, 0, pages).unwrap();
    store.set(&mut nodes, 0, pages, Shared);
    assert_eq!(nodes.lent(), 0, "a file whose pages are all alike needs no node");
}

fn store_prepare(store: &mut Store, nodes: &mut Failing<'_>, range: (u64, u64)) -> Result<(), Error> {
    store.prepare(nodes, range.0, range.1)
}

#[test]
fn a_file_of_one_node_agrees_with_the_model() {
    for seed in 0..4 {
        walk(3000 + seed, seed, steps(2_500));
    }
}

#[test]
fn a_file_of_two_levels_agrees_with_the_model() {
    for seed in 0..4 {
        walk((5 << 15) + 77 * seed, 10 + seed, steps(2_500));
    }
}

#[test]
fn a_file_of_a_tebibyte_agrees_with_the_model() {
    for seed in 0..4 {
        walk(1 << 28, 20 + seed, steps(2_500));
    }
}

#[test]
fn the_largest_file_agrees_with_the_model() {
    for seed in 0..2 {
        walk((1 << 51) - seed, 30 + seed, steps(2_500));
    }
}

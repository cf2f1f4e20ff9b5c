//! From the calls that led to a divergence, the few that still show it.

use crate::op::Op;

/// A shorter list of calls for which `fails` still holds, or `calls` itself, which need not fail if it is the end of a run.
///
/// First the shortest of a few suffixes that fails (after `setup`, which makes the VMs), then pieces
/// of it are left out, larger ones first. `replays` bounds the work: it counts calls to `fails`.
pub fn shrink(calls: &[Op], setup: &[Op], mut replays: u32, fails: impl Fn(&[Op]) -> bool) -> Vec<Op> {
    let mut kept = calls.to_vec();
    let mut length = 64;
    while length <= calls.len() {
        let suffix: Vec<Op> = setup.iter().chain(&calls[calls.len() - length..]).copied().collect();
        if fails(&suffix) {
            kept = suffix;
            break;
        }
        length *= 2;
    }
    if kept.len() == calls.len() && !fails(&kept) {
        return kept;
    }
    let mut piece = kept.len() / 2;
    while piece > 0 {
        let mut at = 0;
        while at < kept.len() {
            if replays == 0 {
                return kept;
            }
            replays -= 1;
            let mut without = kept.clone();
            without.drain(at..(at + piece).min(kept.len()));
            if fails(&without) {
                kept = without;
            } else {
                at += piece;
            }
        }
        piece /= 2;
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::Span;

    #[test]
    fn two_calls_among_a_thousand_are_found() {
        let call = |first| Op::HostShareHyp(Span { first, count: 1 });
        let calls: Vec<Op> = (0..1000).map(call).collect();
        let fails = |list: &[Op]| list.contains(&call(17)) && list.contains(&call(990));
        assert_eq!(shrink(&calls, &[], 10_000, fails), [call(17), call(990)]);
    }

    #[test]
    fn an_end_that_shows_nothing_is_not_searched() {
        let calls = vec![Op::HostShareHyp(Span { first: 0, count: 1 }); 1000];
        let tries = std::cell::Cell::new(0);
        let never = |_: &[Op]| {
            tries.set(tries.get() + 1);
            false
        };
        assert_eq!((shrink(&calls, &[], 10_000, never).len(), tries.get()), (1000, 5));
    }
}

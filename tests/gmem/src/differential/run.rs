//! The loop, and the way from a difference to the few operations that show it.

use super::apply::{Seen, apply};
use super::limits::Limits;
use super::op::Op;
use super::pairs::Pairs;
use super::pick;
use super::rng::Rng;
use super::survey::{Look, Spot, frames, survey};
use super::world::World;
use crate::Target;
use std::fmt;
use std::time::{Duration, Instant};

/// After so many operations both sides start afresh.
const EPOCH: u64 = 2000;
/// After so many, everything is looked at.
const GLANCE: u64 = 64;
/// For so long shorter lists are tried: every VM that ends costs a kernel a moment.
const SHORTENING: Duration = Duration::from_secs(30);

/// A run in which both sides agreed.
#[derive(Clone, Debug)]
pub struct Report {
    /// Operations.
    pub operations: u64,
    /// How often everything was looked at, and how many bytes were compared by that.
    pub surveys: (u64, u64),
    /// Accesses of processes and of guests that went through, and all of them; surveys not counted.
    pub touches: (u64, u64),
    /// Frames whose identity was checked, on either side.
    pub frames: (u64, u64),
    /// Which operation followed which.
    pub pairs: Pairs,
}

/// Where the sides disagreed.
#[derive(Clone, Debug)]
pub struct Difference {
    /// After how many operations.
    pub at: u64,
    /// What it is.
    pub what: String,
    /// The few operations on fresh sides that show a difference; the last of them shows it.
    pub shortest: Vec<Op>,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "after {} operations: {}", self.at, self.what)?;
        self.shortest.iter().try_for_each(|op| writeln!(f, "  {op:x?}"))
    }
}

/// Both sides and what is open on them.
struct Sides<'a> {
    left: &'a mut dyn Target,
    right: &'a mut dyn Target,
    worlds: [World; 2],
    surveys: (u64, u64),
    touches: (u64, u64),
    frames: (u64, u64),
}

impl Sides<'_> {
    fn reset(&mut self) {
        self.left.reset();
        self.right.reset();
        self.worlds = Default::default();
    }

    /// One operation on both; what they disagree about.
    fn step(&mut self, op: &Op) -> Result<(), String> {
        let left = apply(self.left, &mut self.worlds[0], op);
        let right = apply(self.right, &mut self.worlds[1], op);
        if let Seen::Touch(_) | Seen::Guest(_) = left {
            let through = matches!(left, Seen::Touch(Ok(_)) | Seen::Guest(Ok(_)));
            self.touches = (self.touches.0 + u64::from(through), self.touches.1 + 1);
        }
        same(&format!("{op:x?}"), &left, &right)
    }

    fn look(&mut self, look: Look) -> Result<(), String> {
        let left = survey(self.left, &self.worlds[0], look);
        let right = survey(self.right, &self.worlds[1], look);
        self.surveys = (self.surveys.0 + 1, self.surveys.1 + left.len() as u64);
        for ((spot, one), (other_spot, other)) in left.iter().zip(&right) {
            debug_assert_eq!(spot, other_spot, "both sides have the same places");
            same(&place(*spot), one, other)?;
        }
        let seen = frames(self.left, &mut self.worlds[0]).map_err(|what| format!("left: {what}"))?;
        self.frames.0 += seen;
        let seen = frames(self.right, &mut self.worlds[1]).map_err(|what| format!("right: {what}"))?;
        self.frames.1 += seen;
        Ok(())
    }

    /// What the sides disagree about in `ops`, from the start; everything is looked at now and then, and at the end.
    fn disagree(&mut self, ops: &[Op]) -> Option<String> {
        self.reset();
        let glances = (1..).map(|number| number % GLANCE == 0);
        let step = |(op, glance): (&Op, bool)| {
            self.step(op).and_then(|()| if glance { self.look(Look::Glance) } else { Ok(()) }).err()
        };
        ops.iter().zip(glances).find_map(step).or_else(|| self.look(Look::Glance).err())
    }
}

fn same(what: &str, left: &Seen, right: &Seen) -> Result<(), String> {
    if left == right { Ok(()) } else { Err(format!("{what}: {left:x?} and {right:x?}")) }
}

fn place(spot: Spot) -> String {
    format!("looking at {spot:x?}")
}

/// Runs `operations` operations from `seed` on both sides.
///
/// # Errors
/// The first difference, or why the sides cannot be compared at all.
pub fn run(
    left: &mut dyn Target,
    right: &mut dyn Target,
    operations: u64,
    seed: u64,
    mut progress: impl FnMut(u64),
) -> Result<Report, Difference> {
    let nothing = |what| Difference { at: 0, what, shortest: Vec::new() };
    let limits = Limits::of(left, right).map_err(nothing)?;
    let mut pairs = Pairs::new(limits.kinds());
    let mut rng = Rng::new(seed);
    let mut sides = Sides { left, right, worlds: Default::default(), surveys: (0, 0), touches: (0, 0), frames: (0, 0) };
    let mut played = Vec::new();
    for at in 0..operations {
        if at % EPOCH == 0 {
            sides.reset();
            played.clear();
            progress(at);
        }
        let op = pick::next(&mut rng, &limits, &sides.worlds[0], &pairs);
        pairs.saw(op.kind());
        played.push(op);
        let last = at % EPOCH == EPOCH - 1 || at + 1 == operations;
        let mut result = sides.step(&op);
        if result.is_ok() && (last || at % GLANCE == GLANCE - 1) {
            result = sides.look(if last { Look::Everything } else { Look::Glance });
        }
        if let Err(what) = result {
            let (shortest, found) = shortest(&mut sides, &played);
            let what = found.unwrap_or_else(|| format!("{what} (not when played again)"));
            return Err(Difference { at, what, shortest });
        }
    }
    sides.reset();
    let Sides { surveys, touches, frames, .. } = sides;
    Ok(Report { operations, surveys, touches, frames, pairs })
}

/// First a suffix that still disagrees, then pieces of it are left out, larger ones first.
fn shortest(sides: &mut Sides, played: &[Op]) -> (Vec<Op>, Option<String>) {
    let mut kept = played.to_vec();
    let mut what = sides.disagree(&kept);
    if what.is_none() {
        // Not shown by operations alone: the last of them, for whoever looks into it.
        return (kept.split_off(kept.len().saturating_sub(12)), None);
    }
    let start = Instant::now();
    let mut piece = kept.len().div_ceil(2);
    while piece > 0 {
        let mut at = 0;
        while at < kept.len() && start.elapsed() < SHORTENING {
            let mut without = kept.clone();
            without.drain(at..(at + piece).min(kept.len()));
            match sides.disagree(&without) {
                Some(found) => (kept, what) = (without, Some(found)),
                None => at += piece,
            }
        }
        piece /= 2;
    }
    sides.reset();
    (kept, what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::Provider;
    use crate::target::Personality;

    #[test]
    fn equal_sides_agree() {
        for personality in [Personality::V6_18, Personality::V7_3, Personality::V8] {
            let (mut left, mut right) = (Provider::new(personality), Provider::new(personality));
            let report = run(&mut left, &mut right, 1500, 7, |_| {}).unwrap();
            assert!(report.touches.0 > 0 && report.frames.0 > 0, "{personality}: {report:?}");
        }
    }

    #[test]
    fn different_kernels_are_not_compared() {
        let (mut left, mut right) = (Provider::new(Personality::V6_18), Provider::new(Personality::V7_3));
        let difference = run(&mut left, &mut right, 10, 7, |_| {}).unwrap_err();
        assert!(difference.what.contains("different kernels"), "{difference}");
    }
}

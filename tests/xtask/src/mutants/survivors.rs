//! The list of mutants that nothing can notice.
//!
//! A mutant is a line `file: what`, as cargo-mutants names it but without line and column, which move; the indented lines after it say
//! why it survives. One that a function has several times is listed several times. `#` starts a remark.

use std::collections::BTreeMap;

/// How often each is listed.
#[derive(Debug)]
pub(super) struct Survivors(BTreeMap<String, usize>);

impl Survivors {
    /// Reads the list.
    ///
    /// # Errors
    /// A mutant without a reason, a reason without a mutant.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut listed = BTreeMap::new();
        let mut without: Option<&str> = None;
        for line in text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')) {
            if line.starts_with(' ') {
                if listed.is_empty() {
                    return Err(format!("a reason for nothing: {}", line.trim()));
                }
                without = None;
            } else {
                if let Some(name) = without {
                    return Err(format!("no reason is given for {name}"));
                }
                *listed.entry(line.to_owned()).or_insert(0) += 1;
                without = Some(line);
            }
        }
        without.map_or(Ok(Self(listed)), |name| Err(format!("no reason is given for {name}")))
    }

    /// Those of `missed` that are not listed, or not as often.
    pub(super) fn others<'n>(&self, missed: &'n [String]) -> Vec<&'n str> {
        let mut left = self.0.clone();
        let mut listed = |name: &str| match left.get_mut(&bare(name)) {
            Some(times @ 1..) => {
                *times -= 1;
                true
            }
            _ => false,
        };
        missed.iter().map(String::as_str).filter(|name| !listed(name)).collect()
    }

    /// Whether all that is listed is among `names`, as often.
    pub(super) fn all_are_among(&self, names: &[String]) -> Result<(), String> {
        let mut there = BTreeMap::new();
        for name in names {
            *there.entry(bare(name)).or_insert(0) += 1;
        }
        let gone = self.0.iter().filter(|(name, times)| there.get(*name).unwrap_or(&0) < *times);
        let gone: Vec<_> = gone.map(|(name, _)| name.as_str()).collect();
        if gone.is_empty() { Ok(()) } else { Err(format!("listed, but not there:\n{}", gone.join("\n"))) }
    }
}

/// The name without line and column: `file:12:3: what` is `file: what`.
fn bare(name: &str) -> String {
    let Some((place, what)) = name.split_once(": ") else { return name.to_owned() };
    let file = place.split(':').next().unwrap_or(place);
    format!("{file}: {what}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mutant_needs_a_reason() {
        assert!(Survivors::parse("# remark\n\na.rs: x\n    because\n    of this\na.rs: x\n    twice\n").is_ok());
        assert!(Survivors::parse("a.rs: x\nb.rs: y\n    because\n").unwrap_err().ends_with("a.rs: x"));
        assert!(Survivors::parse("a.rs: x\n").is_err() && Survivors::parse("    because\n").is_err());
    }

    #[test]
    fn line_and_column_do_not_matter_but_how_often_does() {
        let listed = Survivors::parse("a.rs: replace -> T with x: y\n    because\n").unwrap();
        let names = ["a.rs:1:2: replace -> T with x: y", "a.rs:9:9: replace -> T with x: y"].map(str::to_owned);
        assert_eq!(listed.others(&names), [&names[1]]);
        assert!(listed.others(&names[..1]).is_empty() && listed.all_are_among(&names).is_ok());
        assert!(listed.all_are_among(&["b.rs:1:2: replace -> T with x: y".to_owned()]).is_err());
    }
}

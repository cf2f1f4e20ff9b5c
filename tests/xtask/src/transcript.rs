//! What a test program under QEMU said: the `TENURE …` lines of its serial output; everything else is noise.
//!
//! | line | meaning |
//! |---|---|
//! | `case <name> pass`, `fail <seen>`, `skip <reason>` | a fact, tried |
//! | `row <id> pass <note>`, `fail <seen>`, `skip <reason>` | a row of the behaviour tables, tried; the note: which part of it, if not all |
//! | `row <id> n/a <reason>` | a row with nothing to try on such a machine |
//! | `obs <scenario> <step> <text>` | something seen, to be compared with another host's |
//! | `fig <name> <value> <unit>` | a figure |
//! | `demo <key>=<value> …` | facts for the line of the demonstration |
//! | `scenario <number> <name>` | a scenario that the image offers |
//! | `end` | the program came to its end |

use crate::report::{Case, Verdict};

/// One thing seen in a step of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) scenario: String,
    pub(crate) step: String,
    pub(crate) text: String,
}

/// One measured figure.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) value: f64,
    pub(crate) unit: String,
}

/// All that a program said.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Transcript {
    /// Facts that were tried.
    pub(crate) cases: Vec<Case>,
    /// Rows of the behaviour tables that were tried; the name is the row's id.
    pub(crate) rows: Vec<Case>,
    /// Rows of which only a part could be tried, and which part.
    pub(crate) notes: Vec<(String, String)>,
    /// Rows with nothing to try, and why.
    pub(crate) not_applicable: Vec<(String, String)>,
    /// What was seen, in order.
    pub(crate) seen: Vec<Seen>,
    /// Figures.
    pub(crate) figures: Vec<Figure>,
    /// Facts for the demonstration.
    pub(crate) facts: Vec<(String, String)>,
    /// Scenarios on offer.
    pub(crate) scenarios: Vec<(u64, String)>,
    /// Whether the program came to its end.
    pub(crate) ended: bool,
    /// Lines that begin as ours and say nothing known: a program and a runner that disagree.
    pub(crate) unreadable: Vec<String>,
}

impl Transcript {
    /// Reads the serial output.
    pub(crate) fn parse(lines: &[String]) -> Self {
        let mut transcript = Self::default();
        for line in lines {
            // A line may follow noise of a console that did not end its own.
            let Some((_, said)) = line.split_once("TENURE ") else { continue };
            if transcript.take(said.trim()).is_none() {
                transcript.unreadable.push(said.trim().to_owned());
            }
        }
        transcript
    }

    /// Another program's words after these, as those of one run.
    pub(crate) fn extend(&mut self, other: Self) {
        self.cases.extend(other.cases);
        self.rows.extend(other.rows);
        self.notes.extend(other.notes);
        self.not_applicable.extend(other.not_applicable);
        self.seen.extend(other.seen);
        self.figures.extend(other.figures);
        self.facts.extend(other.facts);
        self.scenarios.extend(other.scenarios);
        self.ended &= other.ended;
        self.unreadable.extend(other.unreadable);
    }

    /// The demonstration's fact of this name.
    pub(crate) fn fact(&self, key: &str) -> Option<&str> {
        self.facts.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// Reads one line after the mark; `None` if it is none of ours.
    fn take(&mut self, said: &str) -> Option<()> {
        let (kind, rest) = said.split_once(' ').unwrap_or((said, ""));
        match kind {
            "case" => self.cases.push(case(rest)?),
            "row" => self.row(rest)?,
            "obs" => self.seen.push(seen(rest)?),
            "fig" => self.figures.push(figure(rest)?),
            "demo" => {
                for pair in rest.split_whitespace() {
                    let (key, value) = pair.split_once('=')?;
                    self.facts.push((key.to_owned(), value.to_owned()));
                }
            }
            "scenario" => {
                let (number, name) = rest.split_once(' ')?;
                self.scenarios.push((number.parse().ok()?, name.to_owned()));
            }
            "end" => self.ended = true,
            _ => return None,
        }
        Some(())
    }

    fn row(&mut self, rest: &str) -> Option<()> {
        let (id, standing) = rest.split_once(' ')?;
        let (word, detail) = standing.split_once(' ').unwrap_or((standing, ""));
        if word == "n/a" {
            self.not_applicable.push((id.to_owned(), detail.to_owned()));
            return Some(());
        }
        self.rows.push(case(rest)?);
        if word == "pass" && !detail.is_empty() {
            self.notes.push((id.to_owned(), detail.to_owned()));
        }
        Some(())
    }
}

fn case(rest: &str) -> Option<Case> {
    let (name, rest) = rest.split_once(' ')?;
    let (word, detail) = rest.split_once(' ').unwrap_or((rest, ""));
    let verdict = match word {
        "pass" => Verdict::Pass,
        "fail" => Verdict::Fail(detail.to_owned()),
        "skip" => Verdict::Skip(detail.to_owned()),
        _ => return None,
    };
    Some(Case { name: name.to_owned(), verdict })
}

fn seen(rest: &str) -> Option<Seen> {
    let mut words = rest.splitn(3, ' ');
    let (scenario, step, text) = (words.next()?, words.next()?, words.next()?);
    Some(Seen { scenario: scenario.to_owned(), step: step.to_owned(), text: text.to_owned() })
}

fn figure(rest: &str) -> Option<Figure> {
    let mut words = rest.split_whitespace();
    let (name, value, unit) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
    Some(Figure { name: name.to_owned(), value, unit: unit.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Transcript {
        Transcript::parse(&text.lines().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn every_kind_of_line_is_read() {
        let read = parse(
            "[    1.2] noise\nTENURE case a_fact pass\nTENURE case b fail saw 3 of 4\nTENURE row PK-12 skip no guest\r\n\
             TENURE obs calls share x0 0x0\nTENURE fig pkvm.x 2481 insns\nTENURE demo page=0x1 copied=0\n\
             TENURE scenario 3 two_guests\n[x] TENURE end",
        );
        assert_eq!(read.cases, [Case::pass("a_fact"), Case::fail("b", "saw 3 of 4")]);
        assert_eq!(read.rows, [Case::skip("PK-12", "no guest")]);
        assert_eq!(read.seen[0].text, "x0 0x0");
        assert_eq!((read.figures[0].value, read.figures[0].unit.as_str()), (2481.0, "insns"));
        assert_eq!((read.fact("copied"), read.fact("absent")), (Some("0"), None));
        assert_eq!(read.scenarios, [(3, "two_guests".to_owned())]);
        assert!(read.ended && read.unreadable.is_empty());
    }

    #[test]
    fn a_row_that_does_not_apply_and_one_that_holds_in_part_are_told_apart() {
        let read =
            parse("TENURE row GM-01 n/a another revision\nTENURE row GM-02 pass host half only\nTENURE row GM-03 pass");
        assert_eq!(read.not_applicable, [("GM-01".to_owned(), "another revision".to_owned())]);
        assert_eq!(read.notes, [("GM-02".to_owned(), "host half only".to_owned())]);
        assert_eq!(read.rows, [Case::pass("GM-02"), Case::pass("GM-03")]);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_kept() {
        let read = parse("TENURE case half\nTENURE fig f abc insns\nTENURE song la\nTENURE case c maybe");
        assert_eq!(read.unreadable.len(), 4);
        assert!(!read.ended && read.cases.is_empty());
    }
}

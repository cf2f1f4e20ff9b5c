//! `cargo demo`: on each platform that this machine offers, a guest and its host share a page in place; one line tells
//! what was seen.
//!
//! The lines hold only facts that the programs printed (`TENURE demo key=value`), and a line counts as shown only
//! if every claim of it holds.

use crate::firmware::{self, Images, Machine};
use crate::gmem::{self, Demonstrated};
use crate::linux;
use crate::report::Case;
use crate::setup::Setup;
use crate::transcript::Transcript;
use crate::workspace::Workspace;

/// One platform's line.
pub(crate) struct Shown {
    /// What ran, in the left column.
    platform: String,
    /// What it said, or why it could not run here.
    said: Result<Transcript, Absent>,
}

/// Why a platform has nothing to show.
enum Absent {
    /// This machine lacks something.
    Here(String),
    /// It should have run.
    Broken(String),
}

/// Runs each platform and prints its line; false if a claim did not hold or nothing could be shown at all.
pub(crate) fn run(workspace: &Workspace) -> bool {
    let setup = Setup::prepare();
    let mut all = vec![tenure(workspace, &setup), on_linux(workspace, &setup)];
    all.extend(files(workspace, &setup));
    let mut shown = 0;
    let mut broken = 0;
    for platform in &all {
        println!("{:<38}{}", platform.platform, platform.line());
        match &platform.said {
            Ok(transcript) if claims(transcript).is_empty() => shown += 1,
            Ok(_) | Err(Absent::Broken(_)) => broken += 1,
            Err(Absent::Here(_)) => {}
        }
    }
    shown > 0 && broken == 0
}

fn tenure(workspace: &Workspace, setup: &Setup) -> Shown {
    let said = match setup.lacks(&firmware::NEEDS) {
        Some(reason) => Err(Absent::Here(reason)),
        None => Images::build(workspace).and_then(|images| on_firmware(workspace, &images)).map_err(Absent::Broken),
    };
    Shown { platform: "pkvm  tenure at EL2, QEMU virt".to_owned(), said }
}

fn on_linux(workspace: &Workspace, setup: &Setup) -> Shown {
    let booted = match linux::lacks(workspace, setup) {
        Some(reason) => Err(Absent::Here(reason)),
        None => linux::demonstration(workspace).map_err(Absent::Broken),
    };
    let (version, said) = match booted {
        Ok((version, transcript)) => (version, Ok(transcript)),
        Err(absent) => (String::new(), Err(absent)),
    };
    let name =
        ["linux", &version, "pKVM"].iter().filter(|word| !word.is_empty()).copied().collect::<Vec<_>>().join(" ");
    Shown { platform: format!("pkvm  {name}, QEMU virt"), said }
}

/// Guest memory files, through the client of a VMM.
fn files(workspace: &Workspace, setup: &Setup) -> Vec<Shown> {
    let all = gmem::demonstrations(workspace, setup).into_iter();
    all.map(|Demonstrated { on, said }| {
        let said = said.map_err(Absent::Here).and_then(|said| said.map_err(Absent::Broken));
        Shown { platform: format!("gmem  {on}"), said }
    })
    .collect()
}

/// The scenario of our image that demonstrates.
fn on_firmware(workspace: &Workspace, images: &Images) -> Result<Transcript, String> {
    let scenarios = firmware::scenarios(workspace, images)?;
    let (number, name) = scenarios
        .iter()
        .find(|(_, name)| name.starts_with("demo"))
        .ok_or("the firmware has no scenario that demonstrates")?;
    let done = firmware::boot(images, *number, &Machine::TwoCpus, &workspace.log(&format!("firmware-{name}")))?;
    Ok(Transcript::parse(&done.lines))
}

impl Shown {
    fn line(&self) -> String {
        let transcript = match &self.said {
            Err(Absent::Here(reason)) => return format!("not on this machine: {}", first_line(reason)),
            Err(Absent::Broken(seen)) => return format!("DID NOT RUN: {}", first_line(seen)),
            Ok(transcript) => transcript,
        };
        let fact = |key: &str| transcript.fact(key).unwrap_or("?").to_owned();
        let (page, copied, data) = (fact("page"), fact("copied"), fact("guest_data"));
        let shared = format!("shared: host reads {} guest reads {}", fact("host_read"), fact("guest_read"));
        let frame = format!("same frame {}", fact("same_frame"));
        let (before, after) = (fact("private_read"), fact("after_unshare"));
        let mut line = match Kind::of(transcript) {
            Kind::InPlace => format!(
                "page {page}  private: host read {before} · {shared} · {frame} · copied {copied} B · \
                 unshared: {after}, guest data {data}"
            ),
            Kind::TwoBackings => format!(
                "page {page}  private: host reads {before}, its own side · {shared} · two backings, {frame} · \
                 copied {copied} B · unshared: {after}, guest data {data}"
            ),
            Kind::SharedOnly => format!(
                "page {page}  private: this kernel has none · {shared} · {frame} · copied {copied} B · guest data {data}"
            ),
        };
        let broken = claims(transcript);
        if !broken.is_empty() {
            line.push_str("\n  DOES NOT HOLD: ");
            line.push_str(&broken.join("; "));
        }
        line
    }
}

/// How a platform backs a guest's memory; what it can claim follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One page for both.
    InPlace,
    /// A page for each: the host sees its own, which holds nothing while the other is used.
    TwoBackings,
    /// Nothing is private.
    SharedOnly,
}

impl Kind {
    fn of(transcript: &Transcript) -> Self {
        match transcript.fact("kind") {
            Some("two_backings") => Self::TwoBackings,
            Some("shared_only") => Self::SharedOnly,
            _ => Self::InPlace,
        }
    }

    /// The facts that have to be so.
    const fn claims(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::InPlace => &[
                ("private_read", "FAULT"),
                ("same_frame", "yes"),
                ("copied", "0"),
                ("after_unshare", "FAULT"),
                ("guest_data", "intact"),
            ],
            Self::TwoBackings => &[
                ("private_read", "0x0"),
                ("same_frame", "no"),
                ("copied", "0"),
                ("after_unshare", "0x0"),
                ("guest_data", "intact"),
            ],
            Self::SharedOnly => &[("same_frame", "yes"), ("copied", "0"), ("guest_data", "intact")],
        }
    }
}

/// The claims that do not hold.
fn claims(transcript: &Transcript) -> Vec<String> {
    let mut broken = Vec::new();
    for &(key, wanted) in Kind::of(transcript).claims() {
        match transcript.fact(key) {
            Some(value) if value == wanted => {}
            Some(value) => broken.push(format!("{key} is {value}, not {wanted}")),
            None => broken.push(format!("{key} was not seen")),
        }
    }
    for key in ["page", "host_read", "guest_read"] {
        let seen = transcript.fact(key);
        if !seen.is_some_and(is_number) {
            broken.push(format!("{key} was not seen"));
        }
        // A program that knows what must be read says so.
        let expected = transcript.fact(&format!("{key}_expected"));
        if expected.is_some() && expected != seen {
            broken.push(format!("{key} is not {}", expected.unwrap_or_default()));
        }
    }
    // Each side reads what the other wrote, so equal values would prove nothing.
    if transcript.fact("host_read") == transcript.fact("guest_read") {
        broken.push("host and guest read the same value".into());
    }
    let failed = transcript.cases.iter().filter(|case| case.failed());
    broken.extend(failed.map(|Case { name, .. }| format!("{name} failed")));
    if !transcript.ended {
        broken.push("the program did not come to its end".into());
    }
    broken
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn is_number(text: &str) -> bool {
    text.strip_prefix("0x").is_some_and(|digits| u64::from_str_radix(digits, 16).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "TENURE demo page=0x50000000 private_read=FAULT host_read=0xa0 guest_read=0xb0\n\
                        TENURE demo same_frame=yes copied=0 after_unshare=FAULT guest_data=intact\nTENURE end";

    fn broken(text: &str) -> Vec<String> {
        claims(&Transcript::parse(&text.lines().map(str::to_owned).collect::<Vec<_>>()))
    }

    #[test]
    fn the_whole_claim_holds_or_the_demonstration_fails() {
        assert!(broken(GOOD).is_empty());
        for (good, bad) in [
            ("private_read=FAULT", "private_read=0x5"),
            ("copied=0", "copied=4096"),
            (" guest_data=intact", ""),
            ("host_read=0xa0", "host_read=0xb0"),
            ("host_read=0xa0", "host_read=FAULT"),
            ("TENURE end", "TENURE case x fail y\nTENURE end"),
            ("\nTENURE end", ""),
            ("TENURE end", "TENURE demo host_read_expected=0xa1\nTENURE end"),
        ] {
            assert_eq!(broken(&GOOD.replace(good, bad)).len(), 1, "{bad}");
        }
    }

    #[test]
    fn what_is_claimed_follows_from_how_memory_is_backed() {
        let two =
            GOOD.replace("page=", "kind=two_backings page=").replace("FAULT", "0x0").replace("frame=yes", "frame=no");
        assert!(broken(&two).is_empty());
        assert_eq!(broken(&two.replace("private_read=0x0", "private_read=0x5a")).len(), 1);
        assert_eq!(broken(&two.replace("frame=no", "frame=yes")).len(), 1);
        let shared = "TENURE demo kind=shared_only page=0x1 host_read=0xa0 guest_read=0xb0 same_frame=yes copied=0\n\
                      TENURE demo guest_data=intact\nTENURE end";
        assert!(broken(shared).is_empty());
        assert_eq!(broken(&shared.replace("guest_data=intact", "guest_data=changed")).len(), 1);
        assert_eq!(broken(&shared.replace("kind=shared_only ", "")).len(), 2);
    }

    #[test]
    fn the_line_has_every_fact_and_a_machine_without_qemu_says_so() {
        let transcript = Transcript::parse(&GOOD.lines().map(str::to_owned).collect::<Vec<_>>());
        let shown = Shown { platform: "pkvm".into(), said: Ok(transcript) };
        assert_eq!(
            shown.line(),
            "page 0x50000000  private: host read FAULT · shared: host reads 0xa0 guest reads 0xb0 · same frame yes · \
             copied 0 B · unshared: FAULT, guest data intact"
        );
        let absent = Shown { platform: "pkvm".into(), said: Err(Absent::Here("QEMU is missing".into())) };
        assert_eq!(absent.line(), "not on this machine: QEMU is missing");
    }
}

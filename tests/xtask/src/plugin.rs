//! The counting plugin: building it for the QEMU that is here, and reading what it wrote.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::command::{BUILD_LIMIT, run};
use crate::workspace::Workspace;

/// What one call cost, as the plugin counted it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Call {
    /// Instructions of the hypervisor.
    pub(crate) el2: u64,
    /// Instructions of anybody else; not 0 if the call went to the host or was interrupted.
    pub(crate) other: u64,
    /// TLB invalidations.
    pub(crate) tlbi: u64,
    /// Barriers for other observers, without those of the branch-history mitigation.
    pub(crate) dsb: u64,
}

/// The plugin, ready to be loaded.
#[derive(Clone, Debug)]
pub(crate) struct Plugin {
    library: PathBuf,
}

impl Plugin {
    /// Builds it for the interface of the QEMU that is here.
    pub(crate) fn build(workspace: &Workspace) -> Result<Self, String> {
        let version = Command::new("qemu-system-aarch64")
            .arg("--version")
            .output()
            .map_err(|error| format!("qemu-system-aarch64: {error}"))?;
        let api = interface(&String::from_utf8_lossy(&version.stdout))?;
        let target = workspace.target("plugin");
        let mut cargo = workspace.cargo();
        cargo.args(["build", "--release", "-p", "tenure-test-plugin", "--target-dir"]).arg(&target);
        cargo.env("TENURE_PLUGIN_API", api.to_string());
        let done =
            run(&mut cargo, BUILD_LIMIT, Some(&workspace.log("plugin")), |_| {}).map_err(|e| format!("{e:#}"))?;
        if !done.ok() {
            return Err(done.build_error());
        }
        Ok(Self { library: target.join("release/libtenure_test_plugin.so") })
    }

    /// QEMU's argument that loads it; the counts go to `out`.
    pub(crate) fn argument(&self, out: &Path) -> String {
        format!("file={},out={}", self.library.display(), out.display())
    }
}

/// The version of the plugin interface that this QEMU speaks and we have tried or can derive from its headers.
fn interface(version: &str) -> Result<u8, String> {
    let unknown = || format!("a QEMU of unknown version: {}", version.lines().next().unwrap_or_default());
    let (_, after) = version.split_once("version ").ok_or_else(unknown)?;
    let mut numbers = after.split(|c: char| !c.is_ascii_digit()).map(str::parse::<u32>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(5..=8)), _) => Ok(1),
        (Some(Ok(9)), Some(Ok(0))) => Ok(2),
        (Some(Ok(9)), Some(Ok(1))) => Ok(3),
        (Some(Ok(9 | 10)), _) => Ok(4),
        (Some(Ok(major)), _) => {
            Err(format!("the plugin does not know the interface of QEMU {major} yet; 7.2 to 10 do"))
        }
        _ => Err(unknown()),
    }
}

/// Reads the plugin's file; without its last line the run was cut short.
pub(crate) fn read(text: &str) -> Result<Vec<Call>, String> {
    if text.lines().last() != Some("end") {
        return Err("the plugin's file has no end: the run was cut short".into());
    }
    text.lines().filter(|line| line.starts_with("call ")).map(call).collect()
}

fn call(line: &str) -> Result<Call, String> {
    let fields: BTreeMap<_, _> = line.split(' ').filter_map(|word| word.split_once('=')).collect();
    let field = |name: &str| {
        let value = fields.get(name).and_then(|value| value.parse().ok());
        value.ok_or_else(|| format!("the plugin's line has no {name}: {line}"))
    };
    Ok(Call { el2: field("el2")?, other: field("other")?, tlbi: field("tlbi")?, dsb: field("dsb")? })
}

/// How much more than the hypervisor's instructions a guest sees when it measures a call itself: the moves of the
/// arguments, the HVC, the second reading of the counter.
const FRAME: u64 = 12;

/// The call that a guest measured as `ticks` instructions: the commonest of those that cost as much and were not
/// interrupted. The plugin cannot read registers, so the cost is what tells calls apart.
pub(crate) fn commonest(calls: &[Call], ticks: u64) -> Option<Call> {
    let mut seen: BTreeMap<Call, usize> = BTreeMap::new();
    for call in calls.iter().filter(|call| call.other == 0 && call.el2 <= ticks && call.el2 + FRAME >= ticks) {
        *seen.entry(*call).or_default() += 1;
    }
    seen.into_iter().max_by_key(|(_, times)| *times).map(|(call, _)| call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_qemu_gets_its_interface() {
        assert_eq!(interface("QEMU emulator version 7.2.22 (Debian 1:7.2)"), Ok(1));
        assert_eq!(interface("QEMU emulator version 9.1.0"), Ok(3));
        assert_eq!(interface("QEMU emulator version 10.0.2"), Ok(4));
        assert!(interface("QEMU emulator version 11.1.3").unwrap_err().contains("QEMU 11"));
        assert!(interface("nonsense").is_err());
    }

    const TEXT: &str = "\
call at=0x40000310 el2=2481 other=0 tlbi=0 dsb=2 mitigation=2
call at=0x4000033c el2=2456 other=0 tlbi=3 dsb=5 mitigation=2
call at=0x40000310 el2=2481 other=0 tlbi=0 dsb=2 mitigation=2
call at=0x40000310 el2=2480 other=9 tlbi=9 dsb=9 mitigation=2
call at=0x40000310 el2=2480 other=9 tlbi=9 dsb=9 mitigation=2
call at=0x40000310 el2=2480 other=9 tlbi=9 dsb=9 mitigation=2
end
";

    #[test]
    fn a_call_is_found_by_what_it_cost_and_interrupted_ones_do_not_count() {
        let calls = read(TEXT).unwrap();
        assert_eq!(commonest(&calls, 2487), Some(Call { el2: 2481, other: 0, tlbi: 0, dsb: 2 }));
        assert_eq!(commonest(&calls, 2463).map(|call| call.tlbi), Some(3));
        assert_eq!(commonest(&calls, 300), None);
    }

    #[test]
    fn a_file_that_was_cut_short_is_refused() {
        assert!(read(&TEXT.replace("end\n", "")).is_err());
        assert!(read("call at=0x1 el2=x\nend").is_err());
    }
}

//! Building the small x86 kernel of the `guest_memfd` runs from a source tree and the configuration the project keeps.
//!
//! Everything is built under `target/`; the tree stays as it is. Some six minutes on two cores.

use super::x86;
use crate::command::run;
use crate::progress::Step;
use crate::workspace::Workspace;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The configuration, as `make savedefconfig` writes it.
const CONFIG: &str = "tests/gmem/kernel.config";
/// Without these there is nothing to test: a hypervisor that runs under QEMU, VMs with private memory.
const INDISPENSABLE: [&str; 2] = ["CONFIG_KVM_AMD=y", "CONFIG_KVM_SW_PROTECTED_VM=y"];
/// Long enough for one slow core.
const LIMIT: Duration = Duration::from_hours(2);
/// A kernel's makefile cannot take the settings that cargo gives to everything it starts.
const NOT_FOR_MAKE: [&str; 4] = ["MAKEFLAGS", "CARGO_MAKEFLAGS", "CFLAGS", "LDFLAGS"];

/// A source tree and where it came from.
pub(super) enum Tree<'a> {
    /// The distribution's own, unpacked here.
    OfTheDistribution(&'a Path),
    /// One that a person supplied.
    Supplied(&'a Path),
}

impl Tree<'_> {
    fn path(&self) -> &Path {
        match self {
            Self::OfTheDistribution(path) | Self::Supplied(path) => path,
        }
    }

    /// The name of what is built from it: the finder tells the two apart by it.
    fn image(&self, release: &str) -> String {
        match self {
            Self::OfTheDistribution(_) => x86::stock_name(release),
            Self::Supplied(_) => x86::supplied_name(release),
        }
    }
}

/// Builds the tree; the image lies where the finder looks.
pub(super) fn image(workspace: &Workspace, tree: &Tree<'_>, step: &Step) -> Result<PathBuf, String> {
    let path = std::fs::canonicalize(tree.path()).map_err(|error| format!("{}: {error}", tree.path().display()))?;
    if !path.join("arch/x86/kvm").is_dir() {
        return Err(format!("{} is no kernel source tree", path.display()));
    }
    let out = workspace.target(match tree {
        Tree::OfTheDistribution(_) => "kernels/build",
        Tree::Supplied(_) => "kernels/build-tree",
    });
    let wanted = read(&workspace.path(CONFIG))?;
    std::fs::write(out.join(".config"), &wanted).map_err(|error| format!("{}: {error}", out.display()))?;
    make(workspace, &path, &out, "olddefconfig", step)?;
    let ignored = ignored(&wanted, &read(&out.join(".config"))?);
    if let Some(line) = ignored.iter().find(|line| INDISPENSABLE.contains(line)) {
        return Err(format!("{} knows no {line}: it is too old, or its configuration has changed", path.display()));
    }
    for line in &ignored {
        eprintln!("the tree has no {line}");
    }
    make(workspace, &path, &out, "bzImage", step)?;
    let built = out.join("arch/x86/boot/bzImage");
    let release = super::bzimage::release(&built)?;
    let image = workspace.target("kernels").join(tree.image(&release));
    std::fs::copy(&built, &image).map_err(|error| format!("{}: {error}", image.display()))?;
    Ok(image)
}

fn make(workspace: &Workspace, tree: &Path, out: &Path, goal: &str, step: &Step) -> Result<(), String> {
    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut make = Command::new("make");
    make.arg("-C").arg(tree).arg(format!("O={}", out.display())).arg(format!("-j{jobs}")).args(["ARCH=x86_64", goal]);
    if std::env::consts::ARCH != "x86_64" {
        make.arg("CROSS_COMPILE=x86_64-linux-gnu-");
    }
    for variable in NOT_FOR_MAKE {
        make.env_remove(variable);
    }
    // Part of the kernel's banner; the same on every machine.
    make.env("KBUILD_BUILD_USER", "tenure").env("KBUILD_BUILD_HOST", "tenure");
    let log = workspace.log(&format!("kernel-{goal}"));
    let done = run(&mut make, LIMIT, Some(&log), |line| step.note(line)).map_err(|error| format!("{error:#}"))?;
    if done.ok() {
        return Ok(());
    }
    let said = done.lines.iter().find(|line| line.contains("error:") || line.contains("***"));
    let said = said.map_or_else(|| done.tail(5), Clone::clone);
    Err(format!("make {goal}: {}, {said} (all of it: {})", done.ended, log.display()))
}

/// The options that were asked for and that the tree does not have.
fn ignored<'a>(wanted: &'a str, taken: &str) -> Vec<&'a str> {
    wanted.lines().filter(|line| line.ends_with("=y") && !taken.lines().any(|taken| taken == *line)).collect()
}

fn read(path: &Path) -> Result<String, String> {
    std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_option_that_the_tree_dropped_is_noticed() {
        let wanted = "CONFIG_KVM=y\n# CONFIG_BLOCK is not set\nCONFIG_KVM_AMD=y\nCONFIG_NR_CPUS=2\n";
        assert_eq!(ignored(wanted, "CONFIG_KVM=y\nCONFIG_KVM_AMD=m\n"), ["CONFIG_KVM_AMD=y"]);
        assert!(ignored(wanted, wanted).is_empty());
    }

    #[test]
    fn the_configuration_asks_for_what_is_indispensable() {
        let config = read(&Workspace::find().path(CONFIG)).unwrap();
        for line in INDISPENSABLE.into_iter().chain(["CONFIG_GUP_TEST=y", "CONFIG_KERNEL_LZ4=y"]) {
            assert!(config.lines().any(|wanted| wanted == line), "{line}");
        }
    }

    #[test]
    fn a_folder_that_is_no_source_tree_is_refused() {
        let workspace = Workspace::find();
        let refused = image(&workspace, &Tree::Supplied(&workspace.path("tests")), &Step::new("test"));
        assert!(refused.unwrap_err().ends_with("is no kernel source tree"));
    }
}

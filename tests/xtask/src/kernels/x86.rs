//! x86 kernels that run VMs with private memory under QEMU.

use super::{Kernel, bzimage, deb};
use crate::workspace::Workspace;
use std::path::Path;

/// The environment variable that names a bzImage, or a package with one.
pub(crate) const X86_VARIABLE: &str = "TENURE_X86_KERNEL";

/// The series that brought `guest_memfd`.
const OLDEST: (u32, u32) = (6, 8);

/// How an image is named that has no changes of a person's own: what the distribution's source gives.
pub(super) fn stock_name(release: &str) -> String {
    format!("bzImage-{release}-swprotected")
}

/// How an image is named that was built from a tree somebody supplied.
pub(super) fn supplied_name(release: &str) -> String {
    format!("bzImage-{release}-tree")
}

fn is_stock(file: &Path) -> bool {
    named(file, "-swprotected")
}

fn is_supplied(file: &Path) -> bool {
    named(file, "-tree")
}

fn named(file: &Path, ending: &str) -> bool {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with("bzImage-") && name.ends_with(ending)
}

/// An x86 kernel with private memory, or why there is none and how to get one.
pub(crate) fn find_x86(workspace: &Workspace) -> Result<Kernel, String> {
    if let Some(file) = std::env::var_os(X86_VARIABLE) {
        return open(workspace, Path::new(&file), X86_VARIABLE);
    }
    for (folder, from) in
        [(workspace.path("../shared/kernels"), "../shared/kernels"), (workspace.target("kernels"), "a build here")]
    {
        if let Some(image) = deb::newest_in(&folder, is_stock) {
            return open(workspace, &image, from);
        }
    }
    Err(format!(
        "no x86 kernel with private memory: build one with `cargo xtask kernels --build-x86` (some six minutes), or set \
         {X86_VARIABLE} to a bzImage or a .deb of one"
    ))
}

/// The newest kernel built from a tree that a person supplied.
pub(crate) fn find_supplied(workspace: &Workspace) -> Option<Result<Kernel, String>> {
    let image = deb::newest_in(&workspace.target("kernels"), is_supplied)?;
    Some(open(workspace, &image, "a supplied tree"))
}

/// The kernel in `file`, which is a bzImage or a package.
fn open(workspace: &Workspace, file: &Path, from: &str) -> Result<Kernel, String> {
    let path = if file.extension().is_some_and(|ending| ending == "deb") {
        deb::kernel_of(workspace, file)?
    } else {
        file.to_path_buf()
    };
    Kernel { release: bzimage::release(&path)?, path, from: from.to_owned() }.not_older_than(OLDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stock_and_supplied_images_are_told_apart_by_name() {
        let (stock, supplied) = (stock_name("7.3.4"), supplied_name("7.3.4"));
        assert_eq!((is_stock(Path::new(&stock)), is_supplied(Path::new(&stock))), (true, false));
        assert_eq!((is_stock(Path::new(&supplied)), is_supplied(Path::new(&supplied))), (false, true));
        assert!(!is_stock(Path::new("defconfig-7.3.4-swprotected")));
    }
}

//! How large it is: the firmware image, what `hyp` adds to the smallest one, and the panic paths that the optimiser left in.

mod elf;

use crate::bench::Reading;
use crate::command::{BUILD_LIMIT, run};
use crate::firmware::Images;
use crate::setup::{Need, SOFT_FLOAT, Setup};
use crate::workspace::Workspace;
use tenure_hyp::tracker::{Block, Chunk};

/// The smallest image that uses `hyp`.
const MINIMAL: &str = "tests/minimal/Cargo.toml";
/// Regions that one chunk of the tracker describes.
const CHUNK_REGIONS: u64 = 512;
/// Pages that one chunk of the tracker describes: 1 GiB.
const CHUNK_PAGES: u64 = CHUNK_REGIONS * 512;

/// All sizes, or the reason why there are none.
pub(crate) fn readings(workspace: &Workspace, setup: &Setup) -> Vec<Reading> {
    if let Some(reason) = setup.lacks(&[Need::SoftFloat]) {
        return vec![Reading::missing("size.", &reason)];
    }
    let mut readings = metadata();
    readings.extend(match Images::build(workspace).and_then(|images| elf::image(&images.el2)) {
        Ok(image) => image_readings(&image),
        Err(seen) => vec![Reading::broken("size.panic_paths", &seen)],
    });
    readings.extend(match minimal(workspace) {
        Ok([nothing, tracker, el2]) => vec![
            // The tracker for a platform of one's own; all of an EL2 image's calls, stage-2 tables included.
            Reading::count("size.hyp_text_bytes_aarch64", tracker.text.saturating_sub(nothing.text), "bytes"),
            Reading::count("size.hyp_el2_text_bytes_aarch64", el2.text.saturating_sub(nothing.text), "bytes"),
        ],
        Err(seen) => vec![Reading::broken("size.hyp", &seen), Reading::broken("size.panic_paths", &seen)],
    });
    readings
}

/// Metadata per page, from the types that a tracker is built from: one word a region while memory is uniform, one more
/// word a page where every region is mixed.
fn metadata() -> Vec<Reading> {
    let uniform = size_of::<Chunk>() as u64;
    let worst = uniform + CHUNK_REGIONS * size_of::<Block>() as u64;
    [("uniform", uniform), ("worst", worst)]
        .map(|(kind, bytes)| {
            Reading::ratio(&format!("size.metadata_bytes_per_page_{kind}"), bytes, CHUNK_PAGES, "bytes")
        })
        .to_vec()
}

fn image_readings(image: &elf::Weight) -> Vec<Reading> {
    vec![
        Reading::count("size.panic_paths", image.panics.len() as u64, "symbols"),
        Reading::count("size.image_text_bytes", image.text, "bytes"),
        Reading::count("size.image_rodata_bytes", image.rodata, "bytes"),
        Reading::count("size.image_data_bytes", image.data, "bytes"),
        Reading::count("size.image_zeroed_bytes", image.zeroed, "bytes"),
    ]
}

/// The panic paths by name, for a person who has to remove them.
pub(crate) fn panic_paths(workspace: &Workspace, setup: &Setup) -> Vec<String> {
    if setup.lacks(&[Need::SoftFloat]).is_some() {
        return Vec::new();
    }
    let image = Images::build(workspace).and_then(|images| elf::image(&images.el2));
    let mut paths = image.map(|weight| weight.panics).unwrap_or_default();
    paths.extend(minimal(workspace).err());
    paths
}

/// The smallest image without `hyp`, with the tracker, and with all of EL2. It does not link if a path to a panic is left.
fn minimal(workspace: &Workspace) -> Result<[elf::Weight; 3], String> {
    let build = |features: &str| {
        let target = workspace.target("bare").join("minimal");
        let mut cargo = workspace.cargo();
        cargo.args(["build", "--release", "--manifest-path", MINIMAL, "--target", SOFT_FLOAT]);
        cargo.args(["--no-default-features", "--features", features, "--target-dir"]).arg(&target);
        let done =
            run(&mut cargo, BUILD_LIMIT, Some(&workspace.log("minimal")), |_| {}).map_err(|e| format!("{e:#}"))?;
        if !done.ok() {
            return Err(done.build_error());
        }
        elf::image(&target.join(SOFT_FLOAT).join("release/tenure-minimal"))
    };
    Ok([build("")?, build("tracker")?, build("el2")?])
}

//! Allocating and freeing by `fallocate`.

use super::create::kinds;
use super::trial::{Outcome, PAGE, Trial, refused, works};
use super::{Row, needs, row};
use crate::target::FileId;
use tenure_abi::Errno;
use tenure_abi::gmem::CreateFlags;

const KEEP: u32 = 1;
const PUNCH: u32 = 3;
/// Bytes of the file.
const SIZE: u64 = 4 * PAGE;

/// The rows.
pub(super) const ROWS: &[Row] = &[
    row("GM-55", "the whole file can be allocated", needs::nothing, |trial| {
        each(trial, &[(KEEP, 0, SIZE, None), (KEEP, 0, SIZE, None), (KEEP, PAGE, PAGE, None)])
    }),
    row("GM-56", "a hole begins at a page", needs::nothing, |trial| {
        each(trial, &[(PUNCH, PAGE - 1, PAGE, Some(Errno::EINVAL))])
    }),
    row("GM-57", "nothing is allocated behind the file", needs::nothing, |trial| {
        each(
            trial,
            &[
                (KEEP, SIZE, PAGE, Some(Errno::EINVAL)),
                (KEEP, SIZE + PAGE, PAGE, Some(Errno::EINVAL)),
                (KEEP, 0, SIZE + PAGE, Some(Errno::EINVAL)),
            ],
        )
    }),
    row("GM-58", "a hole behind the file is none, and no error", needs::nothing, |trial| {
        each(trial, &[(PUNCH, SIZE, PAGE, None), (PUNCH, SIZE + PAGE, PAGE, None)])
    }),
    row("GM-59", "a hole is whole pages", needs::nothing, |trial| {
        each(trial, &[(PUNCH, PAGE, PAGE - 1, Some(Errno::EINVAL))])
    }),
    row("GM-60", "what was freed can be allocated again", needs::nothing, |trial| {
        each(trial, &[(PUNCH, PAGE, PAGE, None), (KEEP, PAGE, PAGE, None)])
    }),
    row("GM-61", "a hole neither begins nor ends inside a page", needs::nothing, |trial| {
        let odd = [
            (0, 1),
            (0, 4095),
            (0, 4097),
            (1, 1),
            (1, 4095),
            (1, 4096),
            (1, 4097),
            (4096, 1),
            (4096, 4095),
            (4096, 4097),
        ];
        each(trial, &odd.map(|(offset, bytes)| (PUNCH, offset, bytes, Some(Errno::EINVAL))))
    }),
    row("GM-65", "without KEEP_SIZE, and with other modes, it is not supported", needs::nothing, |trial| {
        each(trial, &[(0, 0, SIZE, Some(Errno::EOPNOTSUPP)), (16, 0, SIZE, Some(Errno::EOPNOTSUPP))])
    }),
];

/// A call and the errno it must end with.
type Call = (u32, u64, u64, Option<Errno>);

/// The calls one after the other, on a file of every kind of VM, mappable or not.
fn each(trial: &mut Trial, calls: &[Call]) -> Outcome {
    for kind in kinds(trial) {
        let vm = trial.vm(kind)?;
        let mappable = needs::mappable(trial) == super::Applies::Yes;
        for flags in [CreateFlags::empty(), CreateFlags::MMAP].into_iter().take(if mappable { 2 } else { 1 }) {
            let file = trial.file(vm, SIZE, flags)?;
            calls.iter().try_for_each(|call| one(trial, file, *call))?;
        }
    }
    Ok(())
}

fn one(trial: &mut Trial, file: FileId, (mode, offset, bytes, errno): Call) -> Outcome {
    let what = format!("fallocate mode {mode}, {bytes:#x} bytes at {offset:#x}");
    let seen = trial.target.allocate(file, mode, offset, bytes);
    match errno {
        Some(errno) => refused(&what, seen, errno),
        None => works(&what, seen),
    }
}

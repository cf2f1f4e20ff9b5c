//! The tracker for a platform of one's own: every transition, state and audit.

use tenure_abi::{AddressWidth, Error, FrameRange, Gfn, Located, PageSize, Pfn, VmSlot};
use tenure_hyp::tracker::{AllAtStart, Block, Chunk, Identity, Tracker, Transition};

static CHUNKS: [Chunk; 1] = [Chunk::zeroed()];
static BLOCKS: [Block; 8] = [const { Block::zeroed() }; 8];

/// Does what the registers ask for.
pub(crate) fn entry(registers: &mut [u64; 8]) {
    registers[7] = work(*registers).unwrap_or_else(|refused| refused.error as u64);
}

fn work([first, count, slot, gfn, op, ..]: [u64; 8]) -> Result<u64, Located<Error>> {
    let mut directory = [0; 4];
    let frames = FrameRange::new(Pfn::new(first)?, count, AddressWidth::MAX)?;
    let ram = [frames];
    let tracker = Tracker::new(&mut directory, &CHUNKS, &ram, AllAtStart::new(&BLOCKS))?;
    let identity = Identity::guest(VmSlot::new(slot as u16)?, Gfn::new(gfn)?)?;
    let op = *Transition::ALL.get(op as usize).ok_or(Error::Invalid)?;
    if let Some(claim) = tracker.claim_entry(op, frames.first(), PageSize::Size4K, identity) {
        claim.commit();
    }
    let mut claim = tracker.claim(op, frames, identity)?;
    claim.park();
    claim.settle(count / 2, None, PageSize::Size4K)?;
    tracker.claim(op, frames, identity)?.commit(PageSize::Size2M);
    tracker.compact(frames.first(), count);
    let audit = tracker.audit(frames.first(), count);
    let state = tracker.state(frames.first())? == tenure_abi::PageState::Absent;
    Ok(audit.faults + u64::from(state))
}

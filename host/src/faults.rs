//! Memory faults of a guest: run it again, convert, or stop it.
//!
//! A fault says how the guest accessed memory, not what the memory is. While memory is converted, faults arrive that say
//! the opposite of what holds by then; a guest that is run again gets through. So two questions come first: does the fault agree
//! with the state, and was the memory converted since the vCPU entered the guest? Either makes it spurious. A fault that comes back
//! at the same address again and again is not.

use crate::convert::{Backing, Front, Request, Revoker, Stopped};
use crate::recent::Moment;
use tenure_abi::{ContentMode, Error, FrameRange, Gfn, PAGE_SHIFT, Visibility};

/// What is done about a guest that accesses shared memory as private, or the reverse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// It has to ask first, by hypercall: the access is its mistake.
    Deny,
    /// The access is the request: the page is converted.
    Convert,
}

/// One fault, as the kernel describes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Guest-physical byte address.
    pub gpa: u64,
    /// Bytes from there on; 4096 for faults of the MMU.
    pub size: u64,
    /// What kind of access it was.
    pub access: Visibility,
}

/// What to do with the vCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Run it again.
    RunAgain,
    /// The memory was converted: run it again.
    Converted,
    /// The guest may not do this.
    Denied,
    /// Nothing backs the address.
    Unbacked,
    /// The conversion did not come off; running it again faults again.
    Failed(Stopped),
    /// The same address faulted this often in a row although all agrees: something is wrong that nobody has described.
    Stuck {
        /// How often.
        times: u32,
    },
}

/// The faults of one vCPU, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct FaultLog {
    limit: u32,
    last: Option<(u64, Visibility)>,
    times: u32,
}

impl FaultLog {
    /// For a vCPU that may fault `limit` times in a row at one address.
    pub const fn new(limit: u32) -> Self {
        Self { limit, last: None, times: 0 }
    }

    /// The vCPU left the guest for another reason than a memory fault: it got on.
    pub const fn got_on(&mut self) {
        self.last = None;
        self.times = 0;
    }

    fn count(&mut self, fault: &Fault) -> u32 {
        let this = (fault.gpa >> PAGE_SHIFT, fault.access);
        self.times = if self.last == Some(this) { self.times.saturating_add(1) } else { 1 };
        self.last = Some(this);
        self.times
    }
}

impl<B: Backing, L: Revoker> Front<B, L> {
    /// What to do about `fault` of the vCPU that `log` is of and that [entered](Front::entering) the guest at `entered`.
    pub fn fault(&self, fault: &Fault, entered: Moment, policy: Policy, log: &mut FaultLog) -> Verdict {
        let times = log.count(fault);
        let Ok(gfns) = frames(fault) else { return Verdict::Unbacked };
        if times > log.limit {
            return Verdict::Stuck { times };
        }
        match (self.agrees(gfns, fault.access), policy) {
            (None, _) => Verdict::Unbacked,
            (Some(true), _) => Verdict::RunAgain,
            (Some(false), _) if self.recent().since(gfns, entered) => Verdict::RunAgain,
            (Some(false), Policy::Deny) => Verdict::Denied,
            (Some(false), Policy::Convert) => {
                let request = Request { gfns, to: fault.access };
                match self.convert(request, ContentMode::Unspecified) {
                    Ok(()) => Verdict::Converted,
                    // Somebody holds the page for the moment: the guest comes back here.
                    Err(Stopped { error: Error::Retry, .. }) => Verdict::RunAgain,
                    Err(stopped) => Verdict::Failed(stopped),
                }
            }
        }
    }

    /// Whether all of `gfns` is as the access says; `None` if some of it is not backed.
    fn agrees(&self, gfns: FrameRange<Gfn>, access: Visibility) -> Option<bool> {
        let mut agrees = true;
        let mut done = 0;
        while let Some(rest) = gfns.rest(done) {
            let stretch = self.backing().find(rest.first())?.prefix(rest.count())?;
            agrees &= self.backing().is(&stretch, access);
            done += stretch.gfns.count();
        }
        Some(agrees)
    }
}

/// The whole frames that a fault touches.
fn frames(fault: &Fault) -> Result<FrameRange<Gfn>, Error> {
    let last = fault.gpa.checked_add(fault.size.max(1) - 1).ok_or(Error::Invalid)?;
    let first = fault.gpa >> PAGE_SHIFT;
    FrameRange::new(Gfn::new(first)?, (last >> PAGE_SHIFT) - first + 1, tenure_abi::AddressWidth::MAX)
}

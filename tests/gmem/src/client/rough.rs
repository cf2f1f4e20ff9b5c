//! The client where its surroundings are rough: signals at any moment, descriptors that are closed under it.

use super::{Real, World};
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use tenure_abi::{AddressWidth, ContentMode, Error, FrameRange, Gfn, Visibility};
use tenure_host::convert::{Front, NoLeases, Request};
use tenure_host::linux::Requests;
use tenure_host::ram::{Offers, Ram, Strategy};

/// How many signals have arrived.
static SIGNALS: AtomicU64 = AtomicU64::new(0);

extern "C" fn on_signal(_: i32) {
    SIGNALS.fetch_add(1, Relaxed);
}

/// Signals every 200 microseconds, while this lives.
struct Hail;

impl Hail {
    fn begin() -> Self {
        SIGNALS.store(0, Relaxed);
        // SAFETY: all-zero is a valid `sigaction`; the handler only counts. Without `SA_RESTART` every call that can be interrupted is.
        unsafe {
            let mut action: libc::sigaction = MaybeUninit::zeroed().assume_init();
            action.sa_sigaction = on_signal as *const () as usize;
            libc::sigaction(libc::SIGALRM, &raw const action, std::ptr::null_mut());
        }
        Self::every(200);
        Self
    }

    fn every(microseconds: i64) {
        let time = libc::timeval { tv_sec: 0, tv_usec: microseconds };
        let timer = libc::itimerval { it_interval: time, it_value: time };
        // SAFETY: the structure outlives the call.
        unsafe { libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut()) };
    }
}

impl Drop for Hail {
    fn drop(&mut self) {
        Self::every(0);
    }
}

fn gfns(first: u64, count: u64) -> FrameRange<Gfn> {
    FrameRange::new(Gfn::new(0x200 + first).expect("a frame"), count, AddressWidth::MAX).expect("a range")
}

/// The row, on this machine's kernel.
pub fn row(world: &mut Real, mut say: impl FnMut(&str)) -> bool {
    let verdict = signals(world).and_then(|()| closed(world));
    match &verdict {
        Ok(()) => say("TENURE row CL-12 pass"),
        Err(seen) => say(&format!("TENURE row CL-12 fail {seen}")),
    }
    verdict.is_ok()
}

/// Every call of the client, again and again, in a hail of signals: none of them fails for it.
fn signals(world: &mut Real) -> Result<(), String> {
    let kernel = world.fresh()?;
    let strategy = Offers::probe(&kernel).strategy(true);
    let front = Front::new(Ram::new(kernel, strategy, 1..8), NoLeases);
    let hail = Hail::begin();
    let result = (0..100_000_u64).try_for_each(|round| {
        if round >= 200 && SIGNALS.load(Relaxed) > 500 {
            return Ok(());
        }
        let words = |what: &str, error: String| format!("{what} in round {round}: {error}");
        front.backing().add(gfns(0, 64), Visibility::Shared).map_err(|error| words("adding", error.to_string()))?;
        let (memory, _) = front.backing().memory(gfns(0, 1).first()).ok_or("no memory")?;
        for page in 0..64 {
            world.host_store(&memory, page << 12, 1).map_err(|fault| words("touching", format!("{fault:?}")))?;
        }
        let private = !matches!(strategy, Strategy::SharedOnly { .. });
        for to in [Visibility::Private, Visibility::Shared].into_iter().filter(|_| private) {
            let request = Request { gfns: gfns(8, 16), to };
            let converted = front.convert(request, ContentMode::Unspecified);
            converted.map_err(|stopped| words("converting", format!("{stopped:?}")))?;
        }
        front.balloon(gfns(0, 64)).map_err(|error| words("the balloon", format!("{error:?}")))?;
        front.remove(gfns(0, 1).first()).map_err(|error| words("removing", error.to_string()))
    });
    drop(hail);
    result?;
    match SIGNALS.load(Relaxed) {
        seen if seen <= 500 => Err(format!("only {seen} signals arrived")),
        _ => Ok(()),
    }
}

/// The VM's descriptor is closed by somebody else: every call is an error, and what a slot may still show stays mapped.
fn closed(world: &mut Real) -> Result<(), String> {
    let kernel = world.fresh()?;
    let strategy = Offers::probe(&kernel).strategy(true);
    let private = !matches!(strategy, Strategy::SharedOnly { .. });
    let front: Front<Ram<Requests<OwnedFd>>> = Front::new(Ram::new(kernel, strategy, 1..8), NoLeases);
    front.backing().add(gfns(0, 4), Visibility::Shared).map_err(|failed| failed.to_string())?;
    let (memory, _) = front.backing().memory(gfns(0, 1).first()).ok_or("no memory")?;
    let address = memory.address();
    drop(memory);
    let fd = front.backing().kernel().vm().as_raw_fd();
    // SAFETY: that this is somebody else's descriptor is what is tried here; its number is given back to its owner below.
    let (spare, closed) = unsafe { (libc::dup(fd), libc::close(fd)) };
    let calls = (
        front.backing().add(gfns(8, 4), Visibility::Shared).is_err(),
        front.remove(gfns(0, 1).first()).is_err(),
        front
            .convert(Request { gfns: gfns(0, 2), to: Visibility::Private }, ContentMode::Unspecified)
            .map_err(|s| s.error),
    );
    // SAFETY: the number is free, and nobody else takes it meanwhile: this program has one thread.
    let back = unsafe { libc::dup2(spare, fd) };
    // SAFETY: our own descriptor.
    unsafe { libc::close(spare) };
    // In place the file converts, and it is open.
    let in_place = matches!(strategy, Strategy::InPlace { .. });
    let refused = match calls.2 {
        Ok(()) => in_place,
        Err(error) => error == if private { Error::NotFound } else { Error::NotSupported },
    };
    if (closed, back) != (0, fd) || !calls.0 || !calls.1 || !refused {
        return Err(format!("with a closed descriptor: {closed}, {back}, {calls:?}"));
    }
    let mapped = |address: u64| {
        let text = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
        text.lines().any(|line| line.starts_with(&format!("{address:x}-")))
    };
    if !mapped(address) || front.backing().map() != [gfns(0, 4)] {
        return Err("memory of a slot went although the slot did not".into());
    }
    drop(front);
    if mapped(address) { Err("memory stays mapped after its slot is gone".into()) } else { Ok(()) }
}

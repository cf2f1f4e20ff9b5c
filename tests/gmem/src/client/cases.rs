//! What has to hold of the client on every world. A case that a world cannot try says why.

use super::World;
use tenure_abi::gmem::{MapGpaRange, MapGpaReply};
use tenure_abi::{AddressWidth, ContentMode, Errno, Error, FrameRange, Gfn, PAGE_SIZE, Visibility};
use tenure_host::convert::{Dialect, Front, NoLeases, Request, Stopped};
use tenure_host::ram::{Offers, Ram, Strategy};

/// Where the client's memory begins; slot 0 below is the guest's own.
const FIRST: u64 = 0x200;
/// The numbers of its slots.
const SLOTS: core::ops::Range<u32> = 1..32;
const PRIVATE: Visibility = Visibility::Private;
const SHARED: Visibility = Visibility::Shared;

/// What a case found: nothing, or why it could not be tried here.
type Found = Result<Option<&'static str>, String>;

/// The client over a fresh VM.
struct Client<'w, W: World> {
    world: &'w mut W,
    front: Front<Ram<W::Kernel>>,
}

/// A row of the table.
struct Case<W: World> {
    id: &'static str,
    run: fn(&mut Client<'_, W>) -> Found,
}

/// Tries every row and prints a line for each; whether none failed.
///
/// | row | what has to hold |
/// |---|---|
/// | CL-01 | the strategy is the one that the kernel can serve, found by trying |
/// | CL-02 | what host and guest write to shared memory the other one reads |
/// | CL-03 | private contents are out of the host's reach, shared ones are not, there and back |
/// | CL-04 | a range over several slots and files is converted up to an exact prefix, or not at all |
/// | CL-05 | a guest's request is done and answered, a malformed one is refused |
/// | CL-06 | memory comes and goes while the guest lives |
/// | CL-07 | a balloon frees pages of either side and leaves each as private or shared as it was |
/// | CL-08 | zeroes are promised towards shared, and refused where only the host would vouch for them |
/// | CL-09 | no page is ever backed twice |
/// | CL-10 | nonsense is refused and changes nothing |
/// | CL-11 | a guest whose memory is converted all the time goes on, and its data holds: `storm` |
/// | CL-12 | signals and descriptors that are closed by others are errors at most: `rough` |
pub fn run_all<W: World>(world: &mut W, mut say: impl FnMut(&str)) -> bool {
    let cases: [Case<W>; 10] = [
        Case { id: "CL-01", run: |client| client.offers() },
        Case { id: "CL-02", run: |client| client.both_ways() },
        Case { id: "CL-03", run: |client| client.there_and_back() },
        Case { id: "CL-04", run: |client| client.prefix() },
        Case { id: "CL-05", run: |client| client.request() },
        Case { id: "CL-06", run: |client| client.hotplug() },
        Case { id: "CL-07", run: |client| client.balloon() },
        Case { id: "CL-08", run: |client| client.zeroes() },
        Case { id: "CL-09", run: |client| client.not_doubled() },
        Case { id: "CL-10", run: |client| client.nonsense() },
    ];
    let mut good = true;
    for case in cases {
        let found = one(world, &case);
        good &= found.is_ok();
        say(&match found {
            Ok(None) => format!("TENURE row {} pass", case.id),
            Ok(Some(why)) => format!("TENURE row {} n/a {why}", case.id),
            Err(seen) => format!("TENURE row {} fail {seen}", case.id),
        });
    }
    say("TENURE row CL-11 n/a a storm needs a machine of its own");
    good
}

/// One case on a fresh VM, and whether it left something behind.
fn one<W: World>(world: &mut W, case: &Case<W>) -> Found {
    let kernel = world.fresh()?;
    let before = (world.open(), world.backed());
    let strategy = Offers::probe(&kernel).strategy(true);
    let front = Front::new(Ram::new(kernel, strategy, SLOTS), NoLeases);
    let mut client = Client { world, front };
    let found = (case.run)(&mut client)?;
    let Client { world, front } = client;
    drop(front);
    let after = (world.open(), world.backed());
    // The VM's own descriptor went with the client; nothing else may have changed.
    let (opened, mapped) = (before.0.0.saturating_sub(after.0.0), before.0.1.abs_diff(after.0.1));
    if opened > 1 || after.0.0 > before.0.0 || mapped > 0 {
        return Err(format!("descriptors and mappings: {:?} before, {:?} after", before.0, after.0));
    }
    match (before.1, after.1) {
        (Some(before), Some(after)) if after > before + world.blur() => {
            Err(format!("memory in use: {before} before, {after} after"))
        }
        _ => Ok(found),
    }
}

fn gfns(first: u64, count: u64) -> FrameRange<Gfn> {
    let first = Gfn::new(FIRST + first).expect("a frame");
    FrameRange::new(first, count, AddressWidth::MAX).expect("a range")
}

fn gpa(page: u64) -> u64 {
    (FIRST + page) * PAGE_SIZE
}

fn ensure(holds: bool, what: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what()) }
}

fn say<E: core::fmt::Debug>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error:?}")
}

impl<W: World> Client<'_, W> {
    fn ram(&self) -> &Ram<W::Kernel> {
        self.front.backing()
    }

    /// Why there is no private memory, where there is none.
    fn no_private(&self) -> Option<&'static str> {
        let shared_only = matches!(self.ram().strategy(), Strategy::SharedOnly { .. });
        shared_only.then_some("this kernel's VMs have no private memory")
    }

    fn add(&self, first: u64, count: u64, initially: Visibility) -> Result<(), String> {
        self.ram().add(gfns(first, count), initially).map(drop).map_err(say("adding memory"))
    }

    /// `count` pages, shared at first.
    fn convert(&self, first: u64, count: u64, to: Visibility, mode: ContentMode) -> Result<(), Stopped> {
        self.front.convert(Request { gfns: gfns(first, count), to }, mode)
    }

    fn turn(&self, first: u64, count: u64, to: Visibility) -> Result<(), String> {
        self.convert(first, count, to, ContentMode::Unspecified).map_err(say("converting"))
    }

    fn guest_store(&mut self, page: u64, value: u8) -> Result<(), String> {
        self.world.guest_store(gpa(page), value).map_err(say("the guest's store"))
    }

    fn guest_sees(&mut self, page: u64, value: u8) -> Result<(), String> {
        let seen = self.world.guest_load(gpa(page));
        ensure(seen == Ok(value), || format!("the guest sees {seen:x?} in page {page}, not {value:#x}"))
    }

    /// What the host sees of a page; `None` where it is stopped by a signal.
    fn host_load(&mut self, page: u64) -> Result<Option<u8>, String> {
        let (memory, offset) = self.ram().memory(gfns(page, 1).first()).ok_or("no memory")?;
        Ok(self.world.host_load(&memory, offset).ok())
    }

    fn host_store(&mut self, page: u64, value: u8) -> Result<(), String> {
        let (memory, offset) = self.ram().memory(gfns(page, 1).first()).ok_or("no memory")?;
        self.world.host_store(&memory, offset, value).map_err(say("the host's store"))
    }

    fn host_sees(&mut self, page: u64, value: u8) -> Result<(), String> {
        let seen = self.host_load(page)?;
        ensure(seen == Some(value), || format!("the host sees {seen:x?} in page {page}, not {value:#x}"))
    }

    /// Neither the guest's byte nor an access in place.
    fn host_does_not_see(&mut self, page: u64, value: u8) -> Result<(), String> {
        let seen = self.host_load(page)?;
        let in_place = matches!(self.ram().strategy(), Strategy::InPlace { .. });
        let hidden = if in_place { seen.is_none() } else { seen != Some(value) };
        ensure(hidden, || format!("the host sees {seen:x?} in the private page {page}"))
    }

    fn offers(&mut self) -> Found {
        let (private, in_place) = (self.world.has_private(), self.world.is_in_place());
        let strategy = self.ram().strategy();
        let fits = match strategy {
            Strategy::InPlace { .. } => in_place,
            Strategy::TwoBackings => private && !in_place,
            Strategy::SharedOnly { .. } => !private,
            Strategy::Protected => false,
        };
        ensure(fits, || format!("{strategy:?}, where private is {private} and in place {in_place}"))?;
        Ok(None)
    }

    fn both_ways(&mut self) -> Found {
        self.add(0, 4, SHARED)?;
        self.host_store(1, 0x51)?;
        self.guest_sees(1, 0x51)?;
        self.guest_store(2, 0x52)?;
        self.host_sees(2, 0x52)?;
        self.guest_sees(3, 0)?;
        Ok(None)
    }

    fn there_and_back(&mut self) -> Found {
        if let Some(why) = self.no_private() {
            let stopped = self.add(0, 4, SHARED).and_then(|()| match self.turn(0, 4, PRIVATE) {
                Ok(()) => Err("a conversion to private went through".into()),
                Err(_) => Ok(()),
            });
            return stopped.map(|()| Some(why));
        }
        self.add(0, 8, PRIVATE)?;
        for round in 1..=3 {
            self.guest_store(2, 0xa0 + round)?;
            self.guest_store(5, 0xc0 + round)?;
            self.host_does_not_see(2, 0xa0 + round)?;
            self.turn(1, 3, SHARED)?;
            self.host_store(2, 0xb0 + round)?;
            self.guest_sees(2, 0xb0 + round)?;
            self.guest_store(3, 0xd0 + round)?;
            self.host_sees(3, 0xd0 + round)?;
            self.turn(1, 3, PRIVATE)?;
            self.turn(1, 3, PRIVATE)?;
            self.guest_sees(5, 0xc0 + round)?;
            self.host_does_not_see(5, 0xc0 + round)?;
            self.guest_store(2, 0xe0 + round)?;
            self.host_does_not_see(2, 0xe0 + round)?;
        }
        Ok(None)
    }

    fn prefix(&mut self) -> Found {
        if let Some(why) = self.no_private() {
            return Ok(Some(why));
        }
        self.add(0, 4, PRIVATE)?;
        self.add(4, 4, PRIVATE)?;
        self.add(12, 4, PRIVATE)?;
        self.turn(2, 4, SHARED)?;
        for page in 0..8 {
            let seen = self.ram().visibility(gfns(page, 1).first());
            let shared = (2..6).contains(&page);
            ensure(seen == Some(if shared { SHARED } else { PRIVATE }), || format!("page {page} is {seen:?}"))?;
        }
        let stopped = self.convert(6, 8, SHARED, ContentMode::Unspecified);
        let wanted = Stopped { done: 0, at: gfns(8, 1).first(), error: Error::NotFound };
        ensure(stopped == Err(wanted), || format!("over a hole: {stopped:?}"))?;
        self.turn(0, 8, SHARED)?;
        self.host_store(7, 0x57)?;
        self.guest_sees(7, 0x57)?;
        Ok(None)
    }

    fn request(&mut self) -> Found {
        if let Some(why) = self.no_private() {
            return Ok(Some(why));
        }
        self.add(0, 8, PRIVATE)?;
        let done = MapGpaReply::Done.to_raw();
        let called = self.world.hypercall([gpa(2) as u32, 2, 0], done).map_err(say("the hypercall"))?;
        let exit = called.exit.ok_or("the request did not come to the VMM")?;
        let [gpa, pages, attributes, ..] = exit.arguments;
        let reply = self.front.answer(&MapGpaRange { gpa, pages, attributes }, Dialect::Plain, |_| false);
        ensure(reply == MapGpaReply::Done, || format!("the reply is {reply:?}"))?;
        self.host_store(3, 0x53)?;
        self.guest_sees(3, 0x53)?;
        self.guest_store(4, 0x54)?;
        self.host_does_not_see(4, 0x54)?;
        for attributes in [0x20, 0x13, 1 << 63] {
            let reply = self.front.answer(&MapGpaRange { gpa, pages, attributes }, Dialect::Plain, |_| false);
            ensure(reply == MapGpaReply::Invalid, || format!("{attributes:#x}: {reply:?}"))?;
        }
        Ok(None)
    }

    fn hotplug(&mut self) -> Found {
        self.add(0, 4, SHARED)?;
        self.guest_store(0, 0x11)?;
        for round in 1..=4 {
            self.add(8, 4, SHARED)?;
            self.guest_sees(9, 0)?;
            self.guest_store(9, 0x20 + round)?;
            self.host_sees(9, 0x20 + round)?;
            self.ram().remove(gfns(8, 1).first()).map_err(say("removing memory"))?;
            let gone = self.world.guest_load(gpa(9));
            ensure(gone.is_err(), || format!("memory that was removed reads {gone:x?}"))?;
            ensure(self.ram().memory(gfns(9, 1).first()).is_none(), || "it is still on record".into())?;
        }
        self.guest_sees(0, 0x11)?;
        Ok(None)
    }

    fn balloon(&mut self) -> Found {
        self.add(0, 8, SHARED)?;
        for page in 0..8 {
            self.guest_store(page, 0x30)?;
        }
        let private = self.no_private().is_none();
        if private {
            self.turn(4, 4, PRIVATE)?;
            for page in 4..8 {
                self.guest_store(page, 0x31)?;
            }
        }
        self.ram().balloon(gfns(2, 4)).map_err(say("the balloon"))?;
        for page in [2, 3, 4, 5] {
            self.guest_sees(page, 0)?;
        }
        for (page, value) in [(0, 0x30), (1, 0x30), (6, 0x30 + u8::from(private)), (7, 0x30 + u8::from(private))] {
            self.guest_sees(page, value)?;
        }
        let beyond = self.ram().balloon(gfns(6, 4));
        ensure(beyond == Err((gfns(8, 1).first(), Error::NotFound)), || format!("beyond memory: {beyond:?}"))?;
        Ok(None)
    }

    fn zeroes(&mut self) -> Found {
        self.add(0, 4, SHARED)?;
        if let Some(why) = self.no_private() {
            self.guest_store(1, 0x41)?;
            self.convert(0, 4, SHARED, ContentMode::Zero).map_err(say("zeroes"))?;
            self.guest_sees(1, 0)?;
            return Ok(Some(why));
        }
        self.host_store(1, 0x41)?;
        self.turn(0, 4, PRIVATE)?;
        self.guest_store(1, 0x42)?;
        self.convert(0, 4, SHARED, ContentMode::Zero).map_err(say("zeroes to shared"))?;
        self.host_sees(1, 0)?;
        self.guest_sees(1, 0)?;
        let refused = self.convert(0, 4, PRIVATE, ContentMode::Zero);
        ensure(refused.is_err(), || "zeroes were promised to the guest by the host".into())?;
        let seen = self.ram().visibility(gfns(1, 1).first());
        ensure(seen == Some(SHARED), || format!("a refused conversion left the page {seen:?}"))?;
        Ok(None)
    }

    fn not_doubled(&mut self) -> Found {
        const PAGES: u64 = 2048;
        if self.world.backed().is_none() {
            return Ok(Some("other programs on this machine use memory too"));
        }
        let bytes = PAGES * PAGE_SIZE;
        let private = self.no_private().is_none();
        let before = self.world.backed().unwrap_or(0);
        self.add(0, PAGES, SHARED)?;
        let limit = before + bytes + self.world.blur();
        let mut side = SHARED;
        for round in 0..4 {
            for page in 0..PAGES {
                self.guest_store(page, round)?;
            }
            let now = self.world.backed().unwrap_or(u64::MAX);
            ensure(now <= limit, || format!("round {round}: {} bytes back {bytes}", now - before))?;
            ensure(now + self.world.blur() >= before + bytes, || {
                format!("round {round}: only {} bytes", now - before)
            })?;
            if private {
                side = if side == SHARED { PRIVATE } else { SHARED };
                self.turn(0, PAGES, side)?;
            }
        }
        Ok(None)
    }

    fn nonsense(&mut self) -> Found {
        self.add(0, 4, SHARED)?;
        for (first, count, wanted) in
            [(3, 4, Errno::EEXIST), (0, 4, Errno::EEXIST), (AddressWidth::GUEST_MAX.frames() - FIRST, 1, Errno::EINVAL)]
        {
            let added = self.ram().add(gfns(first, count), SHARED);
            let errno = added.map_err(|failed| failed.errno);
            ensure(errno == Err(wanted), || format!("{first:#x} and {count} pages: {errno:?}"))?;
        }
        if self.no_private().is_some() {
            let added = self.ram().add(gfns(8, 1), PRIVATE).map_err(|failed| failed.errno);
            ensure(added == Err(Errno::EOPNOTSUPP), || format!("private memory: {added:?}"))?;
        }
        let removed = self.ram().remove(gfns(1, 1).first()).map_err(|failed| failed.errno);
        ensure(removed == Err(Errno::ENOENT), || format!("memory begins elsewhere: {removed:?}"))?;
        for page in 0..SLOTS.len() as u64 - 1 {
            self.add(16 + page, 1, SHARED)?;
        }
        let full = self.ram().add(gfns(0x100, 1), SHARED).map_err(|failed| failed.errno);
        ensure(full == Err(Errno::ENOMEM), || format!("without a free slot: {full:?}"))?;
        self.guest_store(16, 0x16)?;
        self.host_sees(16, 0x16)?;
        Ok(None)
    }
}

//! Memory that somebody uses does not go before they let go.

use crate::fake::{Fake, gfn, gfns};
use std::sync::Mutex;
use std::time::Duration;
use tenure_abi::{Errno, Error, FrameRange, Gfn, Visibility};
use tenure_host::convert::Front;
use tenure_host::lease::{AtDeadline, Generation, Holder, Kind, Leases, Patience, Prepared};
use tenure_host::ram::{Ram, Strategy};

/// A holder that lets go when it is asked, and writes down what it is told.
#[derive(Default)]
struct Device(Mutex<Vec<&'static str>>);

impl Device {
    fn told(&self) -> Vec<&'static str> {
        self.0.lock().unwrap().clone()
    }
}

impl Holder for Device {
    fn prepare(&self, _: Generation, _: FrameRange<Gfn>) -> Prepared {
        self.0.lock().unwrap().push("prepare");
        Prepared::Yielded
    }

    fn commit(&self, _: Generation, _: FrameRange<Gfn>) {
        self.0.lock().unwrap().push("commit");
    }

    fn abort(&self, _: Generation, _: FrameRange<Gfn>) {
        self.0.lock().unwrap().push("abort");
    }

    fn shared(&self, _: FrameRange<Gfn>) {
        self.0.lock().unwrap().push("shared");
    }

    fn kill(&self, _: Generation, _: FrameRange<Gfn>) {
        self.0.lock().unwrap().push("kill");
    }
}

fn front<'l>(fake: &Fake, leases: &'l Leases) -> Front<Ram<Fake>, Patience<&'l Leases>> {
    let users = Patience { leases, patience: Duration::ZERO, at_deadline: AtDeadline::Refuse };
    let front = Front::new(fake.ram(Strategy::TwoBackings), users);
    front.backing().add(gfns(0x100, 8), Visibility::Shared).unwrap();
    front
}

#[test]
fn memory_that_is_looked_at_is_neither_removed_nor_freed() {
    let (fake, leases) = (Fake::default(), Leases::new());
    let front = front(&fake, &leases);
    let access = leases.access(gfns(0x103, 1)).unwrap();
    assert_eq!(front.remove(gfn(0x100)).unwrap_err().errno, Errno::EBUSY);
    assert_eq!(front.balloon(gfns(0x102, 4)).unwrap_err().1, Error::Busy);
    assert_eq!((front.backing().map().len(), fake.state().slots.len()), (1, 1));
    drop(access);
    front.balloon(gfns(0x102, 4)).unwrap();
    front.remove(gfn(0x100)).unwrap();
    assert_eq!((front.backing().map().len(), fake.state().slots.len()), (0, 0));
    assert_eq!(front.remove(gfn(0x100)).unwrap_err().errno, Errno::ENOENT);
}

#[test]
fn a_device_is_told_that_memory_goes_for_good_or_stays() {
    let (fake, leases) = (Fake::default(), Leases::new());
    let front = front(&fake, &leases);
    let device = std::sync::Arc::new(Device::default());
    let mapping = leases.map(gfns(0x100, 8), Kind::Cooperative, device.clone()).unwrap();
    front.balloon(gfns(0x102, 4)).unwrap();
    assert_eq!(device.told(), ["prepare", "abort"]);
    let calls = fake.state().calls;
    fake.state().fails = Some((calls + 1, Errno::EIO));
    assert_eq!(front.remove(gfn(0x100)).unwrap_err().errno, Errno::EIO);
    assert_eq!(device.told()[2..], ["prepare", "abort"]);
    front.remove(gfn(0x100)).unwrap();
    assert_eq!(device.told()[4..], ["prepare", "commit"]);
    drop(mapping);
}

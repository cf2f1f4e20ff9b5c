//! A forked process that has the VMM's mappings, and loads and stores when told.

use super::{checked, touch};
use crate::target::{Answer, Fault, Signal};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// What the child is told, and what it answers: four words through a socket.
type Message = [u64; 4];

/// A running child; it ends when this value is dropped.
pub(super) struct Child {
    process: libc::pid_t,
    socket: OwnedFd,
}

impl Child {
    /// Forks.
    pub(super) fn fork() -> Answer<Self> {
        let mut ends = [0; 2];
        let kind = libc::SOCK_SEQPACKET | libc::SOCK_CLOEXEC;
        // SAFETY: `ends` has room for two descriptors.
        checked(unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, ends.as_mut_ptr()) }.into())?;
        // SAFETY: both were opened just now, and nobody else has them.
        let (ours, theirs) = unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) };
        // SAFETY: the child calls nothing but system calls and `touch`, which take no lock and allocate nothing.
        match unsafe { libc::fork() } {
            0 => obey(theirs.as_raw_fd()),
            process => {
                checked(process.into())?;
                Ok(Self { process, socket: ours })
            }
        }
    }

    /// Has it load a byte.
    pub(super) fn load(&self, start: u64, offset: u64) -> Result<u8, Fault> {
        self.ask([0, start, offset, 0])
    }

    /// Has it store a byte.
    pub(super) fn store(&self, start: u64, offset: u64, value: u8) -> Result<(), Fault> {
        self.ask([1, start, offset, value.into()]).map(drop)
    }

    fn ask(&self, message: Message) -> Result<u8, Fault> {
        send(self.socket.as_raw_fd(), message);
        let [signal, code, offset, value] = receive(self.socket.as_raw_fd()).expect("the child answers");
        match signal {
            0 => Ok(value as u8),
            1 => Err(Fault { signal: Signal::Bus, code: code as i32, offset }),
            _ => Err(Fault { signal: Signal::Segv, code: code as i32, offset }),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // SAFETY: the process is ours and has not been waited for; no status is asked for.
        unsafe {
            libc::kill(self.process, libc::SIGKILL);
            libc::waitpid(self.process, std::ptr::null_mut(), 0);
        }
    }
}

/// The child's whole life. It ends when the other end of the socket is closed, with the VMM too.
///
/// It keeps the mappings, and none of the VMM's descriptors: what the VMM closes has to be closed.
fn obey(socket: i32) -> ! {
    let socket_number = socket.cast_unsigned();
    // SAFETY: the descriptors are this process's copies; the VMM keeps its own.
    unsafe {
        libc::syscall(libc::SYS_close_range, 3_u32, socket_number - 1, 0);
        libc::syscall(libc::SYS_close_range, socket_number + 1, u32::MAX, 0);
    }
    while let Some([kind, start, offset, value]) = receive(socket) {
        let outcome = match kind {
            0 => touch::load(start, offset),
            _ => touch::store(start, offset, value as u8).map(|()| 0),
        };
        send(
            socket,
            match outcome {
                Ok(value) => [0, 0, 0, value.into()],
                Err(Fault { signal: Signal::Bus, code, offset }) => [1, u64::from(code.cast_unsigned()), offset, 0],
                Err(Fault { signal: Signal::Segv, code, offset }) => [2, u64::from(code.cast_unsigned()), offset, 0],
            },
        );
    }
    // SAFETY: ends this process at once: nothing of the VMM's is run in it.
    unsafe { libc::_exit(0) }
}

fn send(socket: i32, message: Message) {
    // SAFETY: the message outlives the call and is as long as said.
    unsafe { libc::send(socket, message.as_ptr().cast(), size_of::<Message>(), libc::MSG_NOSIGNAL) };
}

/// `None` once the other side is gone.
fn receive(socket: i32) -> Option<Message> {
    let mut message = Message::default();
    loop {
        // SAFETY: the message has room for as many bytes as said.
        let got = unsafe { libc::recv(socket, message.as_mut_ptr().cast(), size_of::<Message>(), 0) };
        if got == size_of::<Message>().cast_signed() {
            return Some(message);
        }
        if got == 0 || super::last_errno() != tenure_abi::Errno::EINTR {
            return None;
        }
    }
}

//! System calls on files.

use super::{PAGE, Provider};
use crate::target::{Answer, FileCall, FileId, Files, Foreign, Stat};
use tenure_abi::Errno;
use tenure_host::gmem::kvm::{Descriptor, fallocate};

impl Files for Provider {
    fn number(&mut self, file: FileId) -> u32 {
        *self.files.get(file.0)
    }

    fn foreign(&mut self, _: Foreign) -> u32 {
        self.inodes.descriptors.open(Descriptor::Foreign).expect("a test opens few of them")
    }

    fn dup(&mut self, file: FileId) -> Answer<FileId> {
        let number = self.number(file);
        let copy = self.inodes.descriptors.dup(number)?;
        Ok(FileId(self.files.add(copy)))
    }

    fn close(&mut self, file: FileId) {
        let number = self.files.remove(file.0);
        let last = self.inodes.descriptors.close(number).expect("a descriptor that is open");
        if let Some(open) = last {
            self.forget_if_unused(open);
        }
    }

    fn stat(&mut self, file: FileId) -> Answer<Stat> {
        let number = self.number(file);
        let file = self.inodes.get(self.inodes.opened(number).file);
        Ok(Stat { size: file.bytes(), block_size: PAGE, blocks: 0, inode: file.id().0 })
    }

    fn allocate(&mut self, file: FileId, mode: u32, offset: u64, bytes: u64) -> Answer {
        let number = self.number(file);
        fallocate(self.inodes.get(self.inodes.opened(number).file), mode, offset, bytes)
    }

    fn truncate(&mut self, _: FileId, _: u64) -> Answer {
        // The size never changes.
        Err(Errno::EINVAL)
    }

    fn file_call(&mut self, _: FileId, call: FileCall) -> Answer<u64> {
        // None of these reaches the provider: a kernel's files have no such operation. The numbers were seen on a 6.18.
        Err(match call {
            FileCall::Read | FileCall::Write | FileCall::GetSeals | FileCall::AddSeals => Errno::EINVAL,
            FileCall::ReadAt(_) | FileCall::WriteAt(_) | FileCall::Seek(_) => Errno::ESPIPE,
            FileCall::Reopen => Errno::ENXIO,
        })
    }
}

//! Files that are open or mapped, and what descriptors stand for.

use super::frames::Frames;
use super::pool::Pool;
use std::collections::BTreeMap;
use tenure_abi::Error;
use tenure_host::gmem::kvm::{Created, Descriptor, Descriptors, Files, OpenFile};
use tenure_host::gmem::{File, FileId};
use tenure_host::platform::Unenforced;

/// How many slots can show one file.
pub(super) const BINDINGS: usize = 64;
/// How many descriptors a process has.
const DESCRIPTORS: usize = 1024;

/// A file of this world. Environment and platform live as long as the program: there is one pair for each provider.
pub(super) type Inode = File<'static, Frames, Unenforced<'static, Frames>, Pool, BINDINGS>;

/// All of them.
pub(super) struct Inodes {
    pub(super) descriptors: Descriptors<DESCRIPTORS>,
    files: BTreeMap<u64, Inode>,
    next: u64,
}

impl Inodes {
    /// None; the first three descriptors are the process's own.
    pub(super) fn new() -> Self {
        let mut descriptors = Descriptors::new();
        for _ in 0..3 {
            descriptors.open(Descriptor::Foreign).expect("an empty table has room");
        }
        Self { descriptors, files: BTreeMap::new(), next: 1 }
    }

    /// A new file.
    pub(super) fn create(
        &mut self,
        created: &Created,
        frames: &'static Frames,
        platform: &'static Unenforced<'static, Frames>,
    ) -> Result<FileId, Error> {
        let id = FileId(self.next);
        let file = File::new(id, created.bytes, created.options, frames, platform, Pool::default())?;
        self.files.insert(id.0, file);
        self.next += 1;
        Ok(id)
    }

    /// A file that is open or mapped.
    pub(super) fn get(&self, file: FileId) -> &Inode {
        self.files.get(&file.0).expect("a file that is open or mapped")
    }

    /// Every file.
    pub(super) fn all(&self) -> impl Iterator<Item = &Inode> {
        self.files.values()
    }

    /// Nobody can reach the file any more: its frames go back.
    pub(super) fn bury(&mut self, file: FileId) {
        if let Some(file) = self.files.remove(&file.0) {
            file.punch(file.all()).expect("nobody else works on the file");
        }
    }

    /// How a file was opened through a descriptor.
    pub(super) fn opened(&self, number: u32) -> OpenFile {
        match self.descriptors.get(number) {
            Descriptor::Gmem(open) => open,
            other => panic!("descriptor {number} of a test is {other:?}"),
        }
    }
}

impl Files<BINDINGS> for Inodes {
    type Env = Frames;
    type Platform = Unenforced<'static, Frames>;
    type Nodes = Pool;

    fn descriptor(&self, number: u32) -> Descriptor {
        self.descriptors.get(number)
    }

    fn file(&self, file: FileId) -> Option<&File<'_, Frames, Unenforced<'static, Frames>, Pool, BINDINGS>> {
        self.files.get(&file.0)
    }
}

//! The initial file system of a Linux kernel under test: a cpio archive in the kernel's `newc` format.
//!
//! Format: `Documentation/driver-api/early-userspace/buffer-format.rst`. Every entry is a header of a magic and 13
//! fields of 8 hexadecimal digits, the name with its NUL, the data; name and data are padded to 4 bytes.

/// Mode bits of a directory, of an executable file, of a character device.
const DIRECTORY: u32 = 0o040_755;
const PROGRAM: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// An archive with what every first process needs: mount points, and a console that its output goes to.
pub(crate) struct Initrd {
    bytes: Vec<u8>,
    entries: u32,
}

impl Initrd {
    /// An archive without programs.
    pub(crate) fn new() -> Self {
        let mut initrd = Self { bytes: Vec::new(), entries: 0 };
        for name in ["dev", "proc", "sys", "tmp"] {
            initrd.entry(name, DIRECTORY, (0, 0), &[]);
        }
        // Without this node the kernel starts process 1 with no standard output.
        initrd.entry("dev/console", CHARACTER_DEVICE, (5, 1), &[]);
        initrd
    }

    /// Adds a file at the top, executable.
    pub(crate) fn file(&mut self, name: &str, data: &[u8]) {
        self.entry(name, PROGRAM, (0, 0), data);
    }

    /// The archive, closed.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), data: &[u8]) {
        self.entries += 1;
        let size = u32::try_from(data.len()).expect("a file for a test fits 32 bits");
        let name_size = u32::try_from(name.len() + 1).expect("a name is short");
        // inode, mode, uid, gid, links, mtime, size, device of the file (2), device it stands for (2), name, checksum.
        let fields = [self.entries, mode, 0, 0, 1, 0, size, 0, 0, device.0, device.1, name_size, 0];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08X}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(data);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads an archive back: name, mode and data of each entry.
    fn read(mut bytes: &[u8]) -> Vec<(String, u32, Vec<u8>)> {
        let mut entries = Vec::new();
        loop {
            assert_eq!(&bytes[..6], b"070701");
            let field = |n: usize| {
                let digits = std::str::from_utf8(&bytes[6 + n * 8..14 + n * 8]).unwrap();
                u32::from_str_radix(digits, 16).unwrap() as usize
            };
            let (mode, size, name_size) = (field(1) as u32, field(6), field(11));
            let name = String::from_utf8(bytes[110..110 + name_size - 1].to_vec()).unwrap();
            if name == "TRAILER!!!" {
                return entries;
            }
            let data = (110 + name_size).next_multiple_of(4);
            entries.push((name, mode, bytes[data..data + size].to_vec()));
            bytes = &bytes[(data + size).next_multiple_of(4)..];
        }
    }

    #[test]
    fn an_archive_reads_back_as_it_was_written() {
        let mut initrd = Initrd::new();
        initrd.file("init", b"12345");
        initrd.file("guest.bin", &[]);
        let entries = read(&initrd.finish());
        let names: Vec<_> = entries.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["dev", "proc", "sys", "tmp", "dev/console", "init", "guest.bin"]);
        assert_eq!((entries[5].1, entries[5].2.as_slice()), (PROGRAM, b"12345".as_slice()));
        assert_eq!(entries[4].1, CHARACTER_DEVICE);
    }
}

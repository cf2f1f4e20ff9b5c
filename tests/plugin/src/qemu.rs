//! QEMU's C interface for plugins, declared by hand, and the callbacks.
//!
//! The interface has versions, and QEMU refuses a plugin that names one it does not speak: QEMU 7.2 to 8.x speak 1, from
//! 9.0 on inline counters live in a per-CPU scoreboard and from 9.1 on (3) an instruction's bytes are copied out. The build sets
//! the version by `TENURE_PLUGIN_API`; functions whose shape differs between versions are looked up at run time.

use std::ffi::{CStr, c_char, c_int, c_uint, c_void};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::sync::{Mutex, OnceLock};

use crate::decode::Kind;
use crate::options::Options;
use crate::tally::{COUNTS, Count, Tally};

/// The version of the interface that this plugin asks for.
const API: c_int = match option_env!("TENURE_PLUGIN_API") {
    Some(text) => (text.as_bytes()[0] - b'0') as c_int,
    None => 1,
};

/// Read by QEMU before anything is called.
#[unsafe(no_mangle)]
static qemu_plugin_version: c_int = API;

type Id = u64;
type OnBlock = extern "C" fn(Id, *mut c_void);
type OnInstruction = extern "C" fn(c_uint, *mut c_void);
type OnExit = extern "C" fn(Id, *mut c_void);

unsafe extern "C" {
    fn qemu_plugin_register_vcpu_tb_trans_cb(id: Id, callback: OnBlock);
    fn qemu_plugin_register_atexit_cb(id: Id, callback: OnExit, data: *mut c_void);
    fn qemu_plugin_tb_n_insns(block: *const c_void) -> usize;
    fn qemu_plugin_tb_get_insn(block: *const c_void, index: usize) -> *mut c_void;
    fn qemu_plugin_insn_vaddr(instruction: *const c_void) -> u64;
    fn qemu_plugin_register_vcpu_insn_exec_cb(
        instruction: *mut c_void,
        callback: OnInstruction,
        registers: c_int,
        data: *mut c_void,
    );
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// A per-CPU counter of the newer interface: a column of a scoreboard.
#[repr(C)]
#[derive(Clone, Copy)]
struct Column {
    scoreboard: *mut c_void,
    offset: usize,
}

/// `QEMU_PLUGIN_INLINE_ADD_U64`.
const ADD: c_int = 0;

/// The inline counters, in the shape that this version offers.
#[derive(Clone, Copy)]
enum Counters {
    /// Version 1: QEMU adds to memory of ours.
    Memory { add: unsafe extern "C" fn(*mut c_void, c_int, *mut c_void, u64), cells: *mut u64 },
    /// Later ones: QEMU adds to a column.
    Columns {
        add: unsafe extern "C" fn(*mut c_void, c_int, Column, u64),
        sum: unsafe extern "C" fn(Column) -> u64,
        scoreboard: *mut c_void,
    },
}

// SAFETY: the pointers are QEMU's functions, QEMU's own scoreboard and cells that are never freed; QEMU calls the callbacks
// of one CPU (the plugin is for -smp 1) one after another, and only reads and adds to them.
unsafe impl Send for Counters {}
// SAFETY: as above.
unsafe impl Sync for Counters {}

/// The plugin after its start.
struct Plugin {
    options: Options,
    counters: Counters,
    state: Mutex<State>,
}

struct State {
    out: BufWriter<File>,
    open: Option<(u64, Tally)>,
}

static PLUGIN: OnceLock<Plugin> = OnceLock::new();

impl Counters {
    /// Finds the functions of this QEMU; `None` if they are not there.
    fn find() -> Option<Self> {
        if API == 1 {
            let add = symbol(c"qemu_plugin_register_vcpu_insn_exec_inline")?;
            // SAFETY: version 1 declares it as (insn, op, void *, u64).
            let add = unsafe { std::mem::transmute::<*mut c_void, unsafe extern "C" fn(_, _, _, _)>(add) };
            let cells = Box::leak(Box::new([0_u64; COUNTS])).as_mut_ptr();
            return Some(Self::Memory { add, cells });
        }
        let new = symbol(c"qemu_plugin_scoreboard_new")?;
        let add = symbol(c"qemu_plugin_register_vcpu_insn_exec_inline_per_vcpu")?;
        let sum = symbol(c"qemu_plugin_u64_sum")?;
        // SAFETY: versions 2 and later declare them so; a scoreboard of five words is made once.
        unsafe {
            let new = std::mem::transmute::<*mut c_void, unsafe extern "C" fn(usize) -> *mut c_void>(new);
            let add = std::mem::transmute::<*mut c_void, unsafe extern "C" fn(_, _, _, _)>(add);
            let sum = std::mem::transmute::<*mut c_void, unsafe extern "C" fn(_) -> u64>(sum);
            Some(Self::Columns { add, sum, scoreboard: new(COUNTS * 8) })
        }
    }

    /// Makes `instruction` add one to `count` each time it runs.
    fn attach(self, instruction: *mut c_void, count: Count) {
        match self {
            // SAFETY: QEMU's instruction, a cell inside the array.
            Self::Memory { add, cells } => unsafe { add(instruction, ADD, cells.add(count as usize).cast(), 1) },
            Self::Columns { add, scoreboard, .. } => {
                let column = Column { scoreboard, offset: count as usize * 8 };
                // SAFETY: QEMU's instruction, a column inside the scoreboard.
                unsafe { add(instruction, ADD, column, 1) }
            }
        }
    }

    fn read(self) -> Tally {
        Tally(std::array::from_fn(|i| match self {
            // SAFETY: a cell inside the array; volatile, because translated code writes it.
            Self::Memory { cells, .. } => unsafe { cells.add(i).read_volatile() },
            // SAFETY: a column inside the scoreboard.
            Self::Columns { sum, scoreboard, .. } => unsafe { sum(Column { scoreboard, offset: i * 8 }) },
        }))
    }
}

fn symbol(name: &CStr) -> Option<*mut c_void> {
    // SAFETY: a terminated name; a null library means everything loaded, QEMU first.
    let found = unsafe { dlsym(std::ptr::null_mut(), name.as_ptr()) };
    (!found.is_null()).then_some(found)
}

/// The instruction's word.
fn word(instruction: *mut c_void) -> u32 {
    let mut bytes = [0_u8; 4];
    let Some(data) = symbol(c"qemu_plugin_insn_data") else { return 0 };
    if API >= 3 {
        // SAFETY: version 3 and later declare it as a copy into a buffer of this size.
        unsafe {
            let copy: unsafe extern "C" fn(*const c_void, *mut u8, usize) -> usize = std::mem::transmute(data);
            copy(instruction, bytes.as_mut_ptr(), bytes.len());
        }
    } else {
        // SAFETY: versions before 3 return a pointer to the bytes; every instruction of this machine has four.
        unsafe {
            let get: unsafe extern "C" fn(*const c_void) -> *const u8 = std::mem::transmute(data);
            bytes = get(instruction).cast::<[u8; 4]>().read_unaligned();
        }
    }
    u32::from_le_bytes(bytes)
}

/// Called when a block is translated: decides for each of its instructions what its execution does.
extern "C" fn translated(_: Id, block: *mut c_void) {
    let Some(plugin) = PLUGIN.get() else { return };
    // SAFETY: QEMU's block, alive during this call.
    let count = unsafe { qemu_plugin_tb_n_insns(block) };
    for index in 0..count {
        // SAFETY: an index inside the block; the instruction lives as long as this call.
        let (instruction, address) = unsafe {
            let instruction = qemu_plugin_tb_get_insn(block, index);
            (instruction, qemu_plugin_insn_vaddr(instruction))
        };
        let kind = Kind::of(word(instruction));
        if plugin.options.guest.contains(&address) {
            // Instructions are four bytes long, so the lowest bit of an address is free.
            let tagged = address | u64::from(kind == Kind::Hvc);
            let data = std::ptr::without_provenance_mut(tagged as usize);
            // SAFETY: QEMU's instruction; the data is a number, never followed. 0: no registers are read.
            unsafe { qemu_plugin_register_vcpu_insn_exec_cb(instruction, guest_runs, 0, data) };
            continue;
        }
        let in_el2 = plugin.options.el2.contains(&address);
        plugin.counters.attach(instruction, Count::place(in_el2));
        if let (true, Some(count)) = (in_el2, Count::kind(kind)) {
            plugin.counters.attach(instruction, count);
        }
    }
}

/// Called before each instruction of the guest: ends the measurement of the last call, begins that of a new one.
extern "C" fn guest_runs(_: c_uint, data: *mut c_void) {
    let (address, is_call) = (data.addr() as u64 & !1, data.addr() & 1 == 1);
    let Some(plugin) = PLUGIN.get() else { return };
    let Ok(mut state) = plugin.state.lock() else { return };
    if state.open.is_none() && !is_call {
        return;
    }
    let now = plugin.counters.read();
    if let Some((at, before)) = state.open.take() {
        // A line that cannot be written is missed by whoever reads the file.
        let _ = writeln!(state.out, "call at={at:#x} {}", now.since(before));
    }
    if is_call {
        state.open = Some((address, now));
    }
}

extern "C" fn ends(_: Id, _: *mut c_void) {
    if let Some(Ok(mut state)) = PLUGIN.get().map(|plugin| plugin.state.lock()) {
        // As above; nothing is left to do with an error here.
        let _ = writeln!(state.out, "end").and_then(|()| state.out.flush());
    }
}

/// QEMU's entry; anything but 0 stops QEMU.
///
/// # Safety
/// Called by QEMU once, with `count` terminated words at `words`.
#[unsafe(no_mangle)]
unsafe extern "C" fn qemu_plugin_install(id: Id, _: *const c_void, count: c_int, words: *const *const c_char) -> c_int {
    let words: Vec<_> = (0..usize::try_from(count).unwrap_or(0))
        // SAFETY: the caller's promise.
        .map(|index| unsafe { CStr::from_ptr(*words.add(index)) }.to_string_lossy().into_owned())
        .collect();
    match start(words.iter().map(String::as_str)) {
        Ok(plugin) => {
            let _ = PLUGIN.set(plugin);
            // SAFETY: the callbacks have the shapes that QEMU asks for and live as long as the program.
            unsafe {
                qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
                qemu_plugin_register_atexit_cb(id, ends, std::ptr::null_mut());
            }
            0
        }
        Err(wrong) => {
            eprintln!("plugin: {wrong}");
            1
        }
    }
}

fn start<'a>(words: impl Iterator<Item = &'a str>) -> Result<Plugin, String> {
    let options = Options::parse(words)?;
    let counters = Counters::find().ok_or("this QEMU lacks the functions of the version asked for")?;
    let out = File::options()
        .create(true)
        .append(true)
        .open(&options.out)
        .map_err(|error| format!("{}: {error}", options.out.display()))?;
    let state = Mutex::new(State { out: BufWriter::new(out), open: None });
    Ok(Plugin { options, counters, state })
}

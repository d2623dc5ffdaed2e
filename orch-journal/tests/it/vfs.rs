//! A disk that loses power, fails and fills up: a VFS of SQLite over the real one.
//!
//! It passes everything on, and keeps beside it what a disk would have after the loss of power: what
//! was synced, and of what was written since, any sectors. All unsafe code of the tests is here.
#![expect(unsafe_code, reason = "a VFS is a table of C functions")]

use std::collections::HashMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::ptr;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, Once, Weak};

use rusqlite::ffi;

use crate::support::Dice;

/// The name under which SQLite knows it.
pub(crate) const NAME: &str = "orch-test";

const SECTOR_BYTES: usize = 512;

/// What goes wrong, and when. Operations are counted from 1.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Plan {
    /// The power goes at this operation (a write, a sync or a truncation).
    pub(crate) power_lost_at: Option<u64>,
    /// This sync fails.
    pub(crate) sync_fails: Option<u64>,
    /// This operation fails: of a write nothing is written, of a sync nothing is kept.
    pub(crate) fails_at: Option<u64>,
    /// From this write on the disk is full, for so many writes. Each writes half.
    pub(crate) full_from: Option<(u64, u64)>,
    /// Sectors are kept by these dice.
    pub(crate) seed: u64,
}

/// One folder's disk.
#[derive(Debug, Default)]
pub(crate) struct Disk {
    plan: Plan,
    files: HashMap<String, Model>,
    /// What was on it when the power went.
    image: Option<HashMap<String, Vec<u8>>>,
    pub(crate) n_operations: u64,
    pub(crate) n_syncs: u64,
    pub(crate) n_writes: u64,
    /// Writes for which there was no room.
    pub(crate) n_refused: u64,
}

#[derive(Debug, Default)]
struct Model {
    durable: Vec<u8>,
    /// Since the last sync, oldest first.
    pending: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Truncate(usize),
}

impl Model {
    fn apply(bytes: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Write(at, new) => {
                let end = at + new.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*at..end].copy_from_slice(new);
            }
            Change::Truncate(length) => bytes.truncate(*length),
        }
    }

    fn sync(&mut self) {
        for change in std::mem::take(&mut self.pending) {
            Self::apply(&mut self.durable, &change);
        }
    }

    /// What the disk has if it kept any sectors of what was not synced.
    fn after_power_loss(&self, dice: &mut Dice) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        // All, none, or each by itself.
        let odds = [0, 1, 2, 4][usize::try_from(dice.roll(4)).unwrap()];
        for change in &self.pending {
            match change {
                Change::Truncate(_) => {
                    if dice.roll(2) == 0 {
                        Self::apply(&mut bytes, change);
                    }
                }
                Change::Write(at, new) => {
                    let mut from = 0;
                    while from < new.len() {
                        let to = new.len().min(from + SECTOR_BYTES - (at + from) % SECTOR_BYTES);
                        let kept = odds == 1 || (odds > 1 && dice.roll(odds) != 0);
                        if kept {
                            let sector = Change::Write(at + from, new[from..to].to_vec());
                            Self::apply(&mut bytes, &sector);
                        }
                        from = to;
                    }
                }
            }
        }
        bytes
    }
}

impl Disk {
    fn is_off(&self) -> bool {
        self.image.is_some()
    }

    /// Counts an operation. Whether it fails, since it is planned to or the power is gone.
    fn operate(&mut self) -> bool {
        self.n_operations += 1;
        self.cut_if_due() || self.plan.fails_at == Some(self.n_operations)
    }

    fn cut_if_due(&mut self) -> bool {
        if !self.is_off() && self.plan.power_lost_at.is_some_and(|at| at <= self.n_operations) {
            let mut dice = Dice::new(self.plan.seed);
            let mut names: Vec<&String> = self.files.keys().collect();
            names.sort();
            let image = names
                .into_iter()
                .map(|name| (name.clone(), self.files[name].after_power_loss(&mut dice)));
            self.image = Some(image.collect());
        }
        self.is_off()
    }

    /// Cuts the power now.
    pub(crate) fn cut(&mut self) {
        self.plan.power_lost_at = Some(0);
        self.cut_if_due();
    }

    /// Writes what was on it when the power went into a folder.
    pub(crate) fn write_image(&self, folder: &Path) -> bool {
        let Some(image) = &self.image else { return false };
        for (name, bytes) in image {
            std::fs::write(folder.join(name), bytes).unwrap();
        }
        true
    }
}

/// Weak, since a long run has as many as cases, each with all that was written.
static DISKS: LazyLock<Mutex<HashMap<PathBuf, Weak<Mutex<Disk>>>>> = LazyLock::new(Mutex::default);

/// Makes what happens in this folder go by a plan.
pub(crate) fn disk(folder: &Path, plan: Plan) -> Arc<Mutex<Disk>> {
    register();
    let disk = Arc::new(Mutex::new(Disk { plan, ..Disk::default() }));
    let mut disks = DISKS.lock().unwrap();
    disks.retain(|_, disk| disk.strong_count() > 0);
    disks.insert(folder.to_owned(), Arc::downgrade(&disk));
    disk
}

/// The disk that a file is on.
fn disk_at(path: &Path) -> Option<Arc<Mutex<Disk>>> {
    DISKS.lock().unwrap().get(path.parent()?)?.upgrade()
}

/// A file as SQLite sees it; the real one lies behind it in the same memory.
#[repr(C)]
struct File {
    base: ffi::sqlite3_file,
    /// Of `Arc<Mutex<Disk>>`; given back in `close`. Null for a file that is of no disk.
    disk: *const Mutex<Disk>,
    /// Of `Box<String>`; given back in `close`.
    name: *mut String,
}

static REGISTER: Once = Once::new();

fn register() {
    REGISTER.call_once(|| {
        // SAFETY: SQLite initializes itself; the default VFS lives as long as the process, and so
        // does the one that is leaked here, as `sqlite3_vfs_register` demands.
        unsafe {
            assert_eq!(ffi::sqlite3_initialize(), ffi::SQLITE_OK);
            let real = ffi::sqlite3_vfs_find(ptr::null());
            assert!(!real.is_null());
            let mut vfs = *real;
            vfs.pNext = ptr::null_mut();
            vfs.zName = c"orch-test".as_ptr();
            vfs.pAppData = real.cast();
            vfs.szOsFile = c_int::try_from(size_of::<File>()).unwrap() + (*real).szOsFile;
            vfs.xOpen = Some(open);
            vfs.xDelete = Some(delete);
            let vfs = Box::leak(Box::new(vfs));
            assert_eq!(ffi::sqlite3_vfs_register(vfs, 0), ffi::SQLITE_OK);
        }
    });
}

/// # Safety
///
/// `vfs` is the one of [`register`].
unsafe fn real_vfs(vfs: *mut ffi::sqlite3_vfs) -> *mut ffi::sqlite3_vfs {
    // SAFETY: `register` put the real VFS there.
    unsafe { (*vfs).pAppData.cast() }
}

/// # Safety
///
/// `file` was given to [`open`], so that `szOsFile` bytes belong to it.
unsafe fn real(file: *mut ffi::sqlite3_file) -> *mut ffi::sqlite3_file {
    // SAFETY: SQLite took `size_of::<File>()` and the size of a real file for it.
    unsafe { file.cast::<u8>().add(size_of::<File>()).cast() }
}

/// The methods of the real file.
///
/// # Safety
///
/// As [`real`], and the file is open.
unsafe fn methods(file: *mut ffi::sqlite3_file) -> &'static ffi::sqlite3_io_methods {
    // SAFETY: a file that is open has its methods, in a static table of its VFS.
    unsafe { &*(*real(file)).pMethods }
}

/// # Safety
///
/// As [`methods`].
unsafe fn disk_of<'a>(file: *mut ffi::sqlite3_file) -> Option<(MutexGuard<'a, Disk>, &'a String)> {
    // SAFETY: `open` wrote both, and `close` alone takes them back.
    unsafe {
        let file = file.cast::<File>();
        let disk = (*file).disk.as_ref()?;
        Some((disk.lock().unwrap(), &*(*file).name))
    }
}

unsafe extern "C" fn open(
    vfs: *mut ffi::sqlite3_vfs,
    name: *const c_char,
    file: *mut ffi::sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives a file of `szOsFile` bytes and a name that is null or ends with a zero;
    // the real VFS gets the rest of the memory, which it wants zeroed in `pMethods` alone.
    unsafe {
        let wrapped = file.cast::<File>();
        (*wrapped).base.pMethods = ptr::null();
        (*wrapped).disk = ptr::null();
        (*wrapped).name = ptr::null_mut();
        let real_vfs = real_vfs(vfs);
        let Some(open) = (*real_vfs).xOpen else { return ffi::SQLITE_ERROR };
        let code = open(real_vfs, name, real(file), flags, out);
        if code != ffi::SQLITE_OK {
            return code;
        }
        if !name.is_null() {
            let path = PathBuf::from(CStr::from_ptr(name).to_string_lossy().into_owned());
            if let Some(disk) = disk_at(&path) {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                let model = || Model {
                    durable: std::fs::read(&path).unwrap_or_default(),
                    pending: Vec::new(),
                };
                disk.lock().unwrap().files.entry(name.clone()).or_insert_with(model);
                (*wrapped).disk = Arc::into_raw(disk);
                (*wrapped).name = Box::into_raw(Box::new(name));
            }
        }
        (*wrapped).base.pMethods = &raw const METHODS;
        ffi::SQLITE_OK
    }
}

unsafe extern "C" fn delete(vfs: *mut ffi::sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: the name ends with a zero; the real VFS has this function.
    unsafe {
        let path = PathBuf::from(CStr::from_ptr(name).to_string_lossy().into_owned());
        if let Some(disk) = disk_at(&path) {
            let mut disk = disk.lock().unwrap();
            if disk.operate() {
                return ffi::SQLITE_IOERR;
            }
            disk.files.remove(path.file_name().unwrap().to_string_lossy().as_ref());
        }
        let real = real_vfs(vfs);
        (*real).xDelete.map_or(ffi::SQLITE_ERROR, |delete| delete(real, name, sync))
    }
}

unsafe extern "C" fn close(file: *mut ffi::sqlite3_file) -> c_int {
    // SAFETY: the file is open, and is so for the last time: what `open` leaked comes back here.
    unsafe {
        let code = methods(file).xClose.map_or(ffi::SQLITE_OK, |close| close(real(file)));
        let file = file.cast::<File>();
        if !(*file).disk.is_null() {
            drop(Arc::from_raw((*file).disk));
            drop(Box::from_raw((*file).name));
        }
        (*file).disk = ptr::null();
        code
    }
}

unsafe extern "C" fn write(
    file: *mut ffi::sqlite3_file,
    bytes: *const c_void,
    n: c_int,
    at: i64,
) -> c_int {
    // SAFETY: SQLite gives `n` bytes, and the file is open.
    unsafe {
        let mut written = n;
        let mut code = ffi::SQLITE_OK;
        if let Some((mut disk, name)) = disk_of(file) {
            if disk.operate() {
                return ffi::SQLITE_IOERR_WRITE;
            }
            disk.n_writes += 1;
            let n_writes = disk.n_writes;
            if disk.plan.full_from.is_some_and(|(from, n)| (from..from + n).contains(&n_writes)) {
                disk.n_refused += 1;
                written = n / 2;
                code = ffi::SQLITE_FULL;
            }
            let length = usize::try_from(written).unwrap();
            let new = std::slice::from_raw_parts(bytes.cast::<u8>(), length).to_vec();
            let change = Change::Write(usize::try_from(at).unwrap(), new);
            disk.files.get_mut(name).unwrap().pending.push(change);
        }
        let write = methods(file).xWrite.unwrap();
        match write(real(file), bytes, written, at) {
            ffi::SQLITE_OK => code,
            failed => failed,
        }
    }
}

unsafe extern "C" fn truncate(file: *mut ffi::sqlite3_file, length: i64) -> c_int {
    // SAFETY: the file is open.
    unsafe {
        if let Some((mut disk, name)) = disk_of(file) {
            if disk.operate() {
                return ffi::SQLITE_IOERR_TRUNCATE;
            }
            let change = Change::Truncate(usize::try_from(length).unwrap());
            disk.files.get_mut(name).unwrap().pending.push(change);
        }
        methods(file).xTruncate.unwrap()(real(file), length)
    }
}

unsafe extern "C" fn sync(file: *mut ffi::sqlite3_file, _flags: c_int) -> c_int {
    // SAFETY: the file is open. The real one is not asked: the model is the disk here.
    unsafe {
        if let Some((mut disk, name)) = disk_of(file) {
            if disk.operate() {
                return ffi::SQLITE_IOERR_FSYNC;
            }
            disk.n_syncs += 1;
            if disk.plan.sync_fails == Some(disk.n_syncs) {
                return ffi::SQLITE_IOERR_FSYNC;
            }
            disk.files.get_mut(name).unwrap().sync();
        }
    }
    ffi::SQLITE_OK
}

/// Passes a method on as it is.
macro_rules! pass {
    ($name:ident, $method:ident, ($($argument:ident: $type:ty),*) -> $answer:ty) => {
        unsafe extern "C" fn $name(file: *mut ffi::sqlite3_file, $($argument: $type),*) -> $answer {
            // SAFETY: the file is open, and the arguments are SQLite's own.
            unsafe { methods(file).$method.unwrap()(real(file), $($argument),*) }
        }
    };
}

pass!(read, xRead, (bytes: *mut c_void, n: c_int, at: i64) -> c_int);
pass!(file_size, xFileSize, (size: *mut i64) -> c_int);
pass!(lock, xLock, (level: c_int) -> c_int);
pass!(unlock, xUnlock, (level: c_int) -> c_int);
pass!(check_reserved_lock, xCheckReservedLock, (out: *mut c_int) -> c_int);
pass!(file_control, xFileControl, (operation: c_int, argument: *mut c_void) -> c_int);
pass!(sector_size, xSectorSize, () -> c_int);
pass!(device_characteristics, xDeviceCharacteristics, () -> c_int);
pass!(shm_map, xShmMap, (page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void) -> c_int);
pass!(shm_lock, xShmLock, (offset: c_int, n: c_int, flags: c_int) -> c_int);
pass!(shm_barrier, xShmBarrier, () -> ());
pass!(shm_unmap, xShmUnmap, (delete: c_int) -> c_int);

static METHODS: ffi::sqlite3_io_methods = ffi::sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(check_reserved_lock),
    xFileControl: Some(file_control),
    xSectorSize: Some(sector_size),
    xDeviceCharacteristics: Some(device_characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

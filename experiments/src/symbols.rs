//! Where in the source a crash struck: function, file and line of an instruction, worked out from the program's file.
//!
//! The dying process leaves a number only ([`Place::image_offset`](crashbed::Place)); everything that reads debug
//! information, allocates and may fail happens here, in a process that is well.

use addr2line::Loader;
use object::{Object, ObjectSegment};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The symbols of one program.
pub struct Symbols {
    loader: Loader,
    /// The image's addresses as the program's file has them: from 0 in a position-independent program, else from where
    /// the linker put it.
    image: Range<u64>,
}

/// Why a program's symbols cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the symbols of {}: {problem}", exe.display())]
pub struct SymbolsError {
    exe: PathBuf,
    problem: String,
}

impl Symbols {
    /// Reads the symbols of the program `exe`.
    ///
    /// # Errors
    /// [`SymbolsError`] where the file cannot be read, or is not an ELF file with something to load.
    pub fn load(exe: &Path) -> Result<Self, SymbolsError> {
        let failed = |problem: String| SymbolsError { exe: exe.to_owned(), problem };
        let bytes = std::fs::read(exe).map_err(|error| failed(error.to_string()))?;
        let image = image(&bytes).map_err(failed)?;
        let loader = Loader::new(exe).map_err(|error| failed(error.to_string()))?;
        Ok(Self { loader, image })
    }

    /// What the instruction `image_offset` bytes behind the image's lowest mapped address belongs to, as
    /// `function at file:line`; as much of it as the program's file says, `None` where it says nothing or the offset
    /// lies outside of the image.
    ///
    /// Where a function was inlined into another, it is the inner one.
    pub fn describe(&self, image_offset: u64) -> Option<String> {
        let address = self.image.start.checked_add(image_offset).filter(|address| self.image.contains(address))?;
        let frame = self.loader.find_frames(address).ok().and_then(|mut frames| frames.next().ok().flatten());
        let named = frame.as_ref().and_then(|frame| frame.function.as_ref()?.demangle().ok());
        let function = match named {
            Some(name) => name.into_owned(),
            // Without debug information there is still the table of symbols.
            None => addr2line::demangle_auto(self.loader.find_symbol(address)?.into(), None).into_owned(),
        };
        let place = frame.as_ref().and_then(|frame| frame.location.as_ref()).and_then(|at| Some((at.file?, at.line?)));
        Some(match place {
            Some((file, line)) => format!("{function} at {}:{line}", within_the_workspace(file)),
            None => function,
        })
    }
}

/// A source file's path from the workspace on, so that it means the same on every machine; others stay as they are.
fn within_the_workspace(file: &str) -> &str {
    let workspace = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    let workspace = workspace.strip_suffix("experiments/").unwrap_or(workspace);
    file.strip_prefix(workspace).unwrap_or(file)
}

/// The addresses that the loader maps for a program, before it adds where it puts the image: from the lowest `PT_LOAD`
/// segment, down to its page, to the end of the highest (`elf(5)`).
fn image(bytes: &[u8]) -> Result<Range<u64>, String> {
    const PAGE: u64 = 4096;
    let elf = object::File::parse(bytes).map_err(|error| error.to_string())?;
    let lowest = elf.segments().map(|segment| segment.address()).min().ok_or("it has nothing to load")?;
    let ends = elf.segments().map(|segment| segment.address().saturating_add(segment.size()));
    Ok(lowest & !(PAGE - 1)..ends.max().unwrap_or(lowest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use procfs::process::{MMapPath, Process};

    #[inline(never)]
    fn a_function_to_be_found() -> u32 {
        line!()
    }

    /// An address of this process, as the crash handler's parent would give it.
    fn offset(address: usize, exe: &Path) -> u64 {
        let maps = Process::myself().unwrap().maps().unwrap();
        let image = maps.iter().filter(|map| matches!(&map.pathname, MMapPath::Path(path) if path == exe));
        address as u64 - image.map(|map| map.address.0).min().unwrap()
    }

    #[test]
    fn a_function_of_this_program_is_found_with_file_and_line() {
        let exe = std::env::current_exe().unwrap().canonicalize().unwrap();
        let symbols = Symbols::load(&exe).unwrap();
        let found = symbols.describe(offset(a_function_to_be_found as *const () as usize, &exe)).unwrap();
        let (function, place) = found.split_once(" at ").unwrap();
        assert!(function.ends_with("symbols::tests::a_function_to_be_found"), "{found}");
        let (file, line) = place.rsplit_once(':').unwrap();
        assert!(file.ends_with("experiments/src/symbols.rs"), "{found}");
        // Its first instruction belongs to the opening line, the body or, as the body is a constant, the closing brace.
        let body = a_function_to_be_found();
        assert!((body - 1..=body + 1).contains(&line.parse().unwrap()), "{found}");
    }

    #[test]
    fn what_belongs_to_no_function_is_not_made_up() {
        let exe = std::env::current_exe().unwrap();
        let symbols = Symbols::load(&exe).unwrap();
        assert_eq!(symbols.describe(u64::MAX), None);
        assert_eq!(symbols.describe(1 << 46), None);
    }

    #[test]
    fn a_file_that_is_no_program_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("not-a-program");
        std::fs::write(&file, "text").unwrap();
        for path in [file, folder.path().join("missing")] {
            let error = Symbols::load(&path).err().unwrap().to_string();
            assert!(error.contains(path.to_str().unwrap()), "{error}");
        }
    }

    /// A 64-bit ELF file with one segment to load at `address`, and nothing else (`elf(5)`).
    fn elf(address: u64) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(16, 0);
        bytes.extend(2u16.to_le_bytes()); // an executable
        bytes.extend(62u16.to_le_bytes()); // for x86-64
        bytes.extend(1u32.to_le_bytes());
        bytes.extend(address.to_le_bytes()); // entry
        bytes.extend(64u64.to_le_bytes()); // segments begin behind this head
        bytes.extend(0u64.to_le_bytes());
        bytes.extend(0u32.to_le_bytes());
        bytes.extend([64u16, 56, 1, 64, 0, 0].map(u16::to_le_bytes).concat());
        bytes.extend(1u32.to_le_bytes()); // PT_LOAD
        bytes.extend(5u32.to_le_bytes());
        bytes.extend([0, address, address, 120, 120, 4096].map(u64::to_le_bytes).concat());
        bytes
    }

    #[test]
    fn an_image_begins_at_the_page_of_its_first_segment() {
        assert_eq!(image(&elf(0)), Ok(0..120));
        assert_eq!(image(&elf(0x40_0000)), Ok(0x40_0000..0x40_0078));
        assert_eq!(image(&elf(0x40_0123)), Ok(0x40_0000..0x40_019b));
    }
}

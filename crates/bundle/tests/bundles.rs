//! What is packed is unpacked as it was, whoever packed it and when; and nothing that a hostile bundle tries gets out
//! of the directory that it is given.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do; the lints know only #[test] functions"
)]

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::{Duration, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use nuncius_bundle::{BundleError, FileEntry, Limits, digest_of, pack_directory, pack_files, unpack};
use nuncius_testkit::TempDir;
use proptest::prelude::*;
use tar::{EntryType, Header};

const SPEC: &str = "groups: []";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// An entry whose name is written as it is, whatever that is.
fn entry(kind: EntryType, name: &[u8], contents: &[u8]) -> Vec<u8> {
    let mut header = Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name);
    header.set_entry_type(kind);
    header.set_mode(0o7777);
    header.set_size(contents.len() as u64);
    header.set_cksum();
    let mut bytes = header.as_bytes().to_vec();
    bytes.extend_from_slice(contents);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    gzip(&[entries.concat(), vec![0; 1_024]].concat())
}

fn file(name: &str) -> Vec<u8> {
    entry(EntryType::Regular, name.as_bytes(), b"x")
}

/// Unpacks within small limits; whatever comes of it, nothing is outside of the directory.
fn unpack_in(place: &TempDir, packed: &[u8]) -> Result<Vec<FileEntry>, BundleError> {
    let outside = place.path().join("outside");
    fs::create_dir_all(&outside).unwrap();
    let directory = outside.join("in");
    let unpacked = unpack(packed, &directory, &Limits { files: 100, unpacked_bytes: 1 << 20 });
    let names: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    match &unpacked {
        Ok(_) => assert_eq!(names, ["in"]),
        Err(_) => assert_eq!(names, [""; 0], "nothing is left of what is refused"),
    }
    assert!(!place.path().join("evil").exists());
    unpacked
}

fn refused(packed: &[u8]) -> String {
    let place = TempDir::new("hostile").unwrap();
    unpack_in(&place, packed).unwrap_err().to_string()
}

#[test]
fn every_trick_with_names_and_kinds_is_refused_by_its_name() {
    let symbolic = entry(EntryType::Symlink, b"link", b"");
    let cases: [(Vec<Vec<u8>>, &str); 24] = [
        (vec![file("../evil")], "`..`"),
        (vec![file("a/../../evil")], "`..`"),
        (vec![file("/tmp/evil")], "absolute"),
        (vec![file("./a")], "`.`"),
        (vec![file("a//b")], "empty"),
        (vec![file("a/")], "empty"),
        (vec![file("")], "empty"),
        (vec![file("a\\b")], "control character"),
        (vec![file("a\nb")], "control character"),
        (vec![entry(EntryType::Regular, b"\xff\xfe", b"x")], "UTF-8"),
        (vec![symbolic, file("link/evil")], "a symbolic link"),
        (vec![entry(EntryType::Link, b"hard", b"")], "a link to a file"),
        (vec![entry(EntryType::Char, b"null", b"")], "a device"),
        (vec![entry(EntryType::Block, b"disk", b"")], "a device"),
        (vec![entry(EntryType::Fifo, b"pipe", b"")], "a pipe"),
        (vec![entry(EntryType::Directory, b"directory", b"")], "a directory"),
        (vec![entry(EntryType::GNUSparse, b"sparse", b"")], "something else"),
        (vec![entry(EntryType::GNULongName, b"name", &[b'x'; 4_096]), file("a")], "an extension"),
        (vec![entry(EntryType::XHeader, b"pax", b"20 path=../../evil\n"), file("a")], "an extension"),
        (vec![file("a"), file("a")], "same"),
        (vec![file("a/B"), file("A/c")], "same"),
        (vec![file("a"), file("a/b")], "file and a directory"),
        (vec![file("a/b"), file("a")], "file and a directory"),
        (vec![file(&("d/".repeat(17) + "f"))], "16 directories"),
    ];
    for (entries, words) in cases {
        let error = refused(&archive(&entries));
        assert!(error.contains(words), "{words}: {error}");
        assert!(!error.contains('\n') && error.len() < 600, "{error}");
    }
}

#[test]
fn limits_are_kept_while_it_is_unpacked_and_named_with_the_flag_that_raises_them() {
    let many: Vec<Vec<u8>> = (0..10_000).map(|number| file(&format!("f{number}"))).collect();
    let error = refused(&archive(&many));
    assert!(error.contains("more than 100 files") && error.contains("--bundle-files"), "{error}");
    // The size that a header claims is believed as little as the size that comes.
    let mut lying = Header::new_ustar();
    lying.set_path("huge").unwrap();
    lying.set_size(1 << 40);
    lying.set_cksum();
    let error = refused(&archive(&[lying.as_bytes().to_vec()]));
    assert!(error.contains("more than 1048576 bytes") && error.contains("--bundle-size"), "{error}");
    let halves = [entry(EntryType::Regular, b"a", &[0; 600_000]), entry(EntryType::Regular, b"b", &[0; 600_000])];
    assert!(refused(&archive(&halves)).contains("--bundle-size"));
}

/// A reader that knows how much was taken from it.
struct Measured<'a> {
    bytes: &'a [u8],
    taken: &'a std::cell::Cell<usize>,
}

impl std::io::Read for Measured<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = std::io::Read::read(&mut self.bytes, buffer)?;
        self.taken.set(self.taken.get() + read);
        Ok(read)
    }
}

#[test]
fn a_bomb_is_stopped_before_it_goes_off() {
    // A thousand times as large as it looks; by the file that it claims to be, and behind the end of the archive.
    let place = TempDir::new("bomb").unwrap();
    let limits = Limits { files: 100, unpacked_bytes: 1 << 20 };
    let huge = entry(EntryType::Regular, b"zeros", &vec![0; 128 << 20]);
    let tail = [file("a"), vec![0; 128 << 20]].concat();
    for (number, bomb) in [gzip(&huge), gzip(&tail)].into_iter().enumerate() {
        assert!(bomb.len() < 1 << 20, "{}", bomb.len());
        let taken = std::cell::Cell::new(0);
        let error = unpack(Measured { bytes: &bomb, taken: &taken }, &place.path().join("in"), &limits).unwrap_err();
        let wanted = ["--bundle-size", "something follows"][number];
        assert!(error.to_string().contains(wanted), "{error}");
        assert!(taken.get() < bomb.len() / 2, "{} of {} were read", taken.get(), bomb.len());
        assert!(!place.path().join("in").exists());
    }
}

#[test]
fn what_is_no_bundle_is_refused() {
    for bytes in [&b""[..], b"PK\x03\x04", b"groups: []", &gzip(b""), &gzip(b"groups: []"), &gzip(&[7; 4_096])] {
        let error = refused(bytes);
        assert!(error.contains("damaged"), "{error}");
    }
    // Without the empty blocks at its end.
    assert!(refused(&gzip(&file("a"))).contains("too early"));
}

fn write(directory: &Path, path: &str, contents: &[u8]) {
    let place = directory.join(path);
    fs::create_dir_all(place.parent().unwrap()).unwrap();
    fs::write(place, contents).unwrap();
}

#[test]
fn times_owners_and_permissions_change_nothing_and_hidden_files_are_left_out() {
    let place = TempDir::new("pack").unwrap();
    let [first, second] = ["first", "second"].map(|name| place.path().join(name));
    for (directory, order) in [(&first, [0, 1, 2]), (&second, [2, 1, 0])] {
        let files = [("experiment.yaml", SPEC), ("data/users.csv", "a,b\n"), ("b.js", "x")];
        for index in order {
            write(directory, files[index].0, files[index].1.as_bytes());
        }
    }
    let old = SystemTime::UNIX_EPOCH + Duration::from_secs(1);
    fs::File::options().write(true).open(second.join("b.js")).unwrap().set_modified(old).unwrap();
    fs::set_permissions(second.join("b.js"), fs::Permissions::from_mode(0o755)).unwrap();
    for hidden in [".env", ".git/config", "data/.users.csv.swp"] {
        write(&second, hidden, b"secret");
    }
    fs::create_dir_all(second.join("empty")).unwrap();
    let [a, b] = [&first, &second].map(|directory| pack_directory(directory, "shop", &Limits::default()).unwrap());
    assert_eq!(a.bytes, b.bytes);
    assert_eq!(a.manifest, b.manifest);
    assert_eq!(a.manifest.digest, digest_of(&a.bytes));
    assert_eq!(b.left_out, [".env", ".git/", "data/.users.csv.swp"]);
    let paths: Vec<&str> = a.manifest.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(
        (paths, a.manifest.spec.as_str()),
        (vec!["b.js", "data/users.csv", "experiment.yaml"], "experiment.yaml")
    );
    assert_eq!(a.manifest.unpacked_bytes(), (SPEC.len() + 4 + 1) as u64);
    // Other contents are another bundle.
    write(&second, "b.js", b"y");
    assert_ne!(pack_directory(&second, "shop", &Limits::default()).unwrap().manifest.digest, a.manifest.digest);
}

#[test]
fn a_bundle_is_what_any_tar_reads() {
    let place = TempDir::new("tar").unwrap();
    let source = place.path().join("shop");
    let long = format!("{}/{}.csv", "d".repeat(50), "f".repeat(90));
    for path in ["experiment.yaml", &long] {
        write(&source, path, b"contents");
    }
    let packed = pack_directory(&source, "shop", &Limits::default()).unwrap();
    fs::write(place.path().join("shop.tar.gz"), &packed.bytes).unwrap();
    let out = place.path().join("out");
    fs::create_dir(&out).unwrap();
    let mut tar = std::process::Command::new("tar");
    let status = tar.arg("xzf").arg(place.path().join("shop.tar.gz")).current_dir(&out).status().unwrap();
    assert!(status.success());
    assert_eq!(fs::read(out.join(&long)).unwrap(), b"contents");
}

#[test]
fn what_no_bundle_may_have_is_refused_when_it_is_packed_by_where_it_is() {
    let place = TempDir::new("pack").unwrap();
    let limits = Limits { files: 3, unpacked_bytes: 100 };
    let packed = |name: &str, make: &dyn Fn(&Path)| {
        let directory = place.path().join(name);
        write(&directory, "experiment.yaml", SPEC.as_bytes());
        make(&directory);
        pack_directory(&directory, "shop", &limits).map_err(|error| error.to_string())
    };
    let error = |name: &str, make: &dyn Fn(&Path)| packed(name, make).unwrap_err();
    write(place.path(), "secret", b"s");
    let out = error("out", &|directory| symlink("../secret", directory.join("a.csv")).unwrap());
    assert!(out.contains("a.csv is a link that leads out"), "{out}");
    let nowhere = error("nowhere", &|directory| symlink("x", directory.join("a.csv")).unwrap());
    assert!(nowhere.contains("leads out of the directory, or nowhere"), "{nowhere}");
    let round = error("round", &|directory| symlink(".", directory.join("again")).unwrap());
    assert!(round.contains("again is a directory, or a link to one"), "{round}");
    let socket = error("socket", &|directory| {
        drop(std::os::unix::net::UnixListener::bind(directory.join("s")).unwrap());
    });
    assert!(socket.contains("s is a socket"), "{socket}");
    let case = error("case", &|directory| {
        write(directory, "a.csv", b"1");
        write(directory, "A.csv", b"2");
    });
    assert!(case.contains("`a.csv` and `A.csv`"), "{case}");
    let large = error("large", &|directory| write(directory, "a.csv", &[b'x'; 91]));
    assert!(large.contains("more than 100 bytes"), "{large}");
    let many = error("many", &|directory| {
        for name in ["a", "b", "c"] {
            write(directory, name, b"");
        }
    });
    assert!(many.contains("more than 3 files"), "{many}");
    let deep = error("deep", &|directory| write(directory, &("d/".repeat(17) + "f"), b""));
    assert!(deep.contains("16 directories"), "{deep}");
    let none = pack_directory(&place.path().join("absent"), "shop", &limits).unwrap_err().to_string();
    assert!(none.contains("absent"), "{none}");
    // A link within the directory is the file that it leads to.
    let linked =
        packed("linked", &|directory| symlink("experiment.yaml", directory.join("copy.txt")).unwrap()).unwrap();
    assert_eq!(linked.manifest.files[0].digest, linked.manifest.files[1].digest);
}

#[test]
fn named_files_alone_are_packed() {
    let place = TempDir::new("pack").unwrap();
    for path in ["shop.yaml", "other.yaml", "data/users.csv", "data/huge.bin", ".hidden.csv"] {
        write(place.path(), path, path.as_bytes());
    }
    let files = |paths: &[&str]| {
        let paths: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
        pack_files(place.path(), "shop", "shop.yaml", &paths, &Limits::default()).map_err(|error| error.to_string())
    };
    let packed = files(&["data/users.csv", ".hidden.csv", "data/users.csv"]).unwrap();
    let paths: Vec<&str> = packed.manifest.files.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, [".hidden.csv", "data/users.csv", "shop.yaml"]);
    assert!(files(&["data/missing.csv"]).unwrap_err().contains("missing.csv"));
    assert!(files(&["../secret"]).unwrap_err().contains("`..`"));
    assert!(files(&["data"]).unwrap_err().contains("a directory"));
    symlink("/etc/hostname", place.path().join("out.csv")).unwrap();
    assert!(files(&["out.csv"]).unwrap_err().contains("leads out"));
}

/// Any tree: paths that can be ones, and their contents.
fn trees() -> impl Strategy<Value = BTreeMap<String, Vec<u8>>> {
    // Numbers keep names apart, and files from directories.
    let path = prop::collection::vec("[a-zäß .-]{0,6}", 0..4);
    let contents = prop::collection::vec(any::<u8>(), 0..2_000);
    prop::collection::vec((path, contents), 0..12).prop_map(|files| {
        let path = |number: usize, parts: &[String]| {
            let parts: Vec<String> = parts.iter().enumerate().map(|(at, part)| format!("d{at}{part}")).collect();
            let file = format!("f{number}");
            parts.into_iter().chain([file]).collect::<Vec<_>>().join("/")
        };
        files.into_iter().enumerate().map(|(number, (parts, contents))| (path(number, &parts), contents)).collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_packed_comes_out_as_it_was(files in trees()) {
        let place = TempDir::new("round").unwrap();
        let source = place.path().join("source");
        write(&source, "experiment.yaml", SPEC.as_bytes());
        for (path, contents) in &files {
            write(&source, path, contents);
        }
        let packed = pack_directory(&source, "shop", &Limits::default()).unwrap();
        let target = place.path().join("target");
        let unpacked = unpack(packed.bytes.as_slice(), &target, &Limits::default()).unwrap();
        prop_assert_eq!(&unpacked, &packed.manifest.files);
        prop_assert_eq!(unpacked.len(), files.len() + 1);
        for (path, contents) in &files {
            prop_assert_eq!(&fs::read(target.join(path)).unwrap(), contents);
        }
        prop_assert!(packed.bytes.len() as u64 <= Limits::default().packed_bytes());
        // Packed again from what came out it is the same bundle.
        let again = pack_directory(&target, "shop", &Limits::default()).unwrap();
        prop_assert_eq!(again.manifest.digest, packed.manifest.digest);
    }

    #[test]
    fn what_is_cut_off_or_changed_anywhere_never_comes_out_otherwise(
        at in any::<prop::sample::Index>(), bit in 0..8_u8, cut: bool,
    ) {
        let place = TempDir::new("cut").unwrap();
        let source = place.path().join("source");
        write(&source, "experiment.yaml", SPEC.as_bytes());
        let noise = |n: u32| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap();
        let noise: Vec<u8> = (0..5_000).map(noise).collect();
        write(&source, "data/users.csv", &noise);
        let packed = pack_directory(&source, "shop", &Limits::default()).unwrap();
        let mut bytes = packed.bytes.clone();
        let at = at.index(bytes.len());
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << bit;
        }
        match unpack_in(&place, &bytes) {
            Ok(files) => {
                // Bits of gzip's header that mean nothing.
                prop_assert!(!cut && at < 10, "{at}");
                prop_assert_eq!(files, packed.manifest.files);
            }
            Err(error) => prop_assert!(error.to_string().contains("damaged"), "{}", error),
        }
    }

    #[test]
    fn no_bytes_make_it_panic_or_write_elsewhere(bytes in prop::collection::vec(any::<u8>(), 0..2_000), packed: bool) {
        let place = TempDir::new("noise").unwrap();
        let bytes = if packed { gzip(&bytes) } else { bytes };
        prop_assert!(unpack_in(&place, &bytes).is_err());
    }

    #[test]
    fn no_header_makes_it_panic_or_write_elsewhere(
        name in prop::collection::vec(any::<u8>(), 0..100), kind: u8, size in prop::collection::vec(any::<u8>(), 12),
    ) {
        let place = TempDir::new("header").unwrap();
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..name.len()].copy_from_slice(&name);
        header.as_old_mut().linkflag = [kind];
        header.as_old_mut().size.copy_from_slice(&size);
        header.set_cksum();
        let _ = unpack_in(&place, &archive(&[header.as_bytes().to_vec(), file("a")]));
    }
}

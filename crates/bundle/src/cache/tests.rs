use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nuncius_testkit::TempDir;

use super::*;
use crate::{Packed, pack_directory};

/// A bundle of one file of data, of this many bytes, beside its specification.
fn bundle(place: &TempDir, name: &str, bytes: usize) -> Packed {
    let directory = place.path().join(name);
    fs::create_dir_all(directory.join("data")).unwrap();
    fs::write(directory.join("experiment.yaml"), name).unwrap();
    fs::write(directory.join("data/users.csv"), vec![b'x'; bytes]).unwrap();
    pack_directory(&directory, name, &Limits::default()).unwrap()
}

fn cache(place: &TempDir, max_bytes: u64) -> Cache {
    Cache::new(place.path().join("cache"), max_bytes)
}

fn here(lookup: Lookup) -> Held {
    match lookup {
        Lookup::Here(held) => held,
        other => panic!("{other:?}"),
    }
}

fn missing(lookup: Lookup) -> Place {
    match lookup {
        Lookup::Missing(place) => place,
        other => panic!("{other:?}"),
    }
}

fn bring(cache: &Cache, packed: &Packed) -> Result<Held, BundleError> {
    let place = missing(cache.look(&packed.manifest.digest)?);
    fs::write(place.download_path(), &packed.bytes).unwrap();
    place.fill(&Limits::default())?;
    Ok(here(cache.look(&packed.manifest.digest)?))
}

/// What is in the cache, by name.
fn names(cache: &Cache) -> Vec<String> {
    let entries = fs::read_dir(&cache.directory).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn set_used(cache: &Cache, packed: &Packed, seconds: u64) {
    let lock = File::options().write(true).open(cache.beside(&packed.manifest.digest, LOCK)).unwrap();
    lock.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

#[test]
fn a_bundle_is_fetched_once_and_nobody_can_change_it() {
    let place = TempDir::new("cache").unwrap();
    let (cache, packed) = (cache(&place, 1 << 20), bundle(&place, "shop", 1_000));
    let held = bring(&cache, &packed).unwrap();
    assert_eq!(fs::read(held.path().join("data/users.csv")).unwrap().len(), 1_000);
    let mode = |path: &str| fs::metadata(held.path().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("data"), mode("data/users.csv")), (0o555, 0o555, 0o444));
    assert_eq!(fs::metadata(&cache.directory).unwrap().permissions().mode() & 0o777, 0o700);
    // As many readers as like.
    let second = here(cache.look(&packed.manifest.digest).unwrap());
    assert_eq!(second.path(), held.path());
}

#[test]
fn while_one_fetches_the_others_wait_and_what_it_leaves_when_it_is_killed_is_taken_away() {
    let place = TempDir::new("cache").unwrap();
    let (cache, packed) = (cache(&place, 1 << 20), bundle(&place, "shop", 1_000));
    let digest = packed.manifest.digest.as_str();
    let first = missing(cache.look(digest).unwrap());
    assert!(matches!(cache.look(digest).unwrap(), Lookup::Busy));
    // It dies in the middle of everything: half a download, half a tree, half a list, and a directory that was sealed.
    fs::write(first.download_path(), &packed.bytes[..packed.bytes.len() / 2]).unwrap();
    let partial = cache.beside(digest, PARTIAL);
    fs::create_dir_all(partial.join("data")).unwrap();
    fs::write(partial.join("data/users.csv"), "half").unwrap();
    tree::seal(&partial.join("data")).unwrap();
    tree::seal(&partial).unwrap();
    fs::write(cache.beside(digest, LIST), "[{\"path\": \"data").unwrap();
    drop(first);
    let second = missing(cache.look(digest).unwrap());
    assert_eq!(names(&cache), [format!("{digest}.lock")], "nothing is left of the first");
    fs::write(second.download_path(), &packed.bytes).unwrap();
    second.fill(&Limits::default()).unwrap();
    let held = here(cache.look(digest).unwrap());
    assert_eq!(fs::read(held.path().join("data/users.csv")).unwrap().len(), 1_000);
}

#[test]
fn a_tree_that_lost_something_is_fetched_again() {
    let place = TempDir::new("cache").unwrap();
    let (cache, packed) = (cache(&place, 1 << 20), bundle(&place, "shop", 1_000));
    let digest = packed.manifest.digest.as_str();
    let break_it: [&dyn Fn(&Path); 4] = [
        // As long as it was, and of other bytes: a disk that was cut off may leave that.
        &|tree| {
            let file = tree.join("data/users.csv");
            fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
            fs::write(&file, vec![0; 1_000]).unwrap();
        },
        &|tree| {
            fs::set_permissions(tree, fs::Permissions::from_mode(0o700)).unwrap();
            fs::remove_file(tree.join("experiment.yaml")).unwrap();
        },
        &|tree| tree::remove(tree).unwrap(),
        &|tree| fs::remove_file(tree.with_extension(LIST)).unwrap(),
    ];
    drop(bring(&cache, &packed).unwrap());
    for broken in break_it {
        broken(&cache.tree(digest));
        drop(bring(&cache, &packed).unwrap());
    }
}

#[test]
fn other_bytes_than_the_digest_says_are_refused_and_leave_nothing() {
    let place = TempDir::new("cache").unwrap();
    let (cache, packed) = (cache(&place, 1 << 20), bundle(&place, "shop", 1_000));
    let other = bundle(&place, "other", 10);
    let at = missing(cache.look(&packed.manifest.digest).unwrap());
    fs::write(at.download_path(), &other.bytes).unwrap();
    let error = at.fill(&Limits::default()).unwrap_err();
    assert!(matches!(&error, BundleError::WrongDigest { found, .. } if *found == other.manifest.digest), "{error}");
    assert!(!error.is_of_the_place());
    assert_eq!(names(&cache), [format!("{}.lock", packed.manifest.digest)]);
    assert!(cache.look("../etc").is_err(), "a digest is no path");
}

#[test]
fn what_has_not_been_used_for_the_longest_time_makes_room_and_what_is_used_stays() {
    let place = TempDir::new("cache").unwrap();
    let cache = cache(&place, 3_100);
    let bundles: Vec<Packed> = (0..5).map(|number| bundle(&place, &format!("b{number}"), 1_000)).collect();
    let is_there = |packed: &Packed| cache.tree(&packed.manifest.digest).exists();
    let first = bring(&cache, &bundles[0]).unwrap();
    drop(bring(&cache, &bundles[1]).unwrap());
    drop(bring(&cache, &bundles[2]).unwrap());
    assert!(bundles[..3].iter().all(is_there));
    set_used(&cache, &bundles[0], 1);
    set_used(&cache, &bundles[1], 3);
    set_used(&cache, &bundles[2], 2);
    let fourth = bring(&cache, &bundles[3]).unwrap();
    // The first is the oldest, and in use.
    assert_eq!(bundles.iter().map(is_there).collect::<Vec<_>>(), [true, true, false, true, false]);
    let gone = format!("{}.", bundles[2].manifest.digest);
    assert!(!names(&cache).iter().any(|name| name.starts_with(&gone)), "nothing is left of it: {:?}", names(&cache));
    let second = here(cache.look(&bundles[1].manifest.digest).unwrap());
    let error = bring(&cache, &bundles[4]).unwrap_err();
    assert!(matches!(error, BundleError::CacheFull { limit_bytes: 3_100, .. }) && error.is_of_the_place(), "{error}");
    assert!(error.to_string().contains("--bundle-cache"), "{error}");
    drop((first, second, fourth));
    drop(bring(&cache, &bundles[4]).unwrap());
    let large = bundle(&place, "large", 4_000);
    let error = bring(&cache, &large).unwrap_err();
    assert!(matches!(error, BundleError::OverCache { limit_bytes: 3_100, .. }) && !error.is_of_the_place(), "{error}");
}

#[test]
fn what_killed_processes_left_goes_when_the_next_bundle_comes() {
    let place = TempDir::new("cache").unwrap();
    let (cache, packed) = (cache(&place, 1 << 20), bundle(&place, "shop", 1_000));
    let dead = "ab".repeat(32);
    let left = missing(cache.look(&dead).unwrap());
    fs::write(left.download_path(), "half").unwrap();
    fs::create_dir_all(cache.beside(&dead, PARTIAL)).unwrap();
    drop(left);
    let alive = missing(cache.look(&"cd".repeat(32)).unwrap());
    fs::write(alive.download_path(), "comes in").unwrap();
    drop(bring(&cache, &packed).unwrap());
    assert!(!names(&cache).iter().any(|name| name.starts_with(&dead)), "{:?}", names(&cache));
    assert!(alive.download_path().exists(), "what is being fetched is left alone");
}

#[test]
fn many_threads_fetch_a_bundle_once() {
    let place = TempDir::new("cache").unwrap();
    let (cache, packed) = (cache(&place, 1 << 20), bundle(&place, "shop", 100_000));
    let fetched = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                loop {
                    match cache.look(&packed.manifest.digest).unwrap() {
                        Lookup::Here(held) => break assert!(held.path().join("experiment.yaml").is_file()),
                        Lookup::Missing(place) => {
                            fetched.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                            fs::write(place.download_path(), &packed.bytes).unwrap();
                            place.fill(&Limits::default()).unwrap();
                        }
                        Lookup::Busy => std::thread::yield_now(),
                    }
                }
            });
        }
    });
    assert_eq!(fetched.into_inner(), 1);
}

use std::fs;

use nuncius_schemas::units::HumanDuration;
use nuncius_testkit::TempDir;
use proptest::prelude::*;

use super::*;

fn strings(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn workload(words: &[&str]) -> Result<Workload, WorkloadError> {
    Workload::new(&strings(words), WorkloadOptions::default())
}

fn with_glob(words: &[&str], pattern: &str) -> Result<Workload, WorkloadError> {
    Workload::new(&strings(words), WorkloadOptions { glob: Some(pattern.to_owned()), ..WorkloadOptions::default() })
}

fn job(args: &[&str]) -> Job {
    Job { args: strings(args), limit: None }
}

fn program(prepared: Prepared) -> ProgramTask {
    let Task::Program(task) = prepared.task else { panic!("no program: {prepared:?}") };
    task
}

/// A directory with these files, and the pattern for all of them.
fn tree(names: &[&str]) -> (TempDir, String) {
    let directory = TempDir::new("glob").unwrap();
    names.iter().for_each(|name| fs::write(directory.path().join(name), "").unwrap());
    let pattern = directory.path().join("card*").display().to_string();
    (directory, pattern)
}

#[test]
fn a_workload_is_sleep_a_device_or_an_absolute_path() {
    for (words, kind, name) in [
        (&["sleep"][..], WorkloadKind::Sleep, "sleep"),
        (&["sleep", "0"], WorkloadKind::Sleep, "sleep"),
        (&["device", "gpu-1"], WorkloadKind::Device("gpu-1".to_owned()), "device"),
        (&["/bin/true", "-v"], WorkloadKind::Program("/bin/true".to_owned()), "/bin/true"),
    ] {
        let workload = workload(words).unwrap();
        assert_eq!((workload.kind(), workload.name()), (&kind, name));
    }
}

#[test]
fn whatever_no_job_could_be_run_with_is_refused_and_says_what_to_do() {
    for (words, wanted) in [
        (&[][..], "no workload: name one"),
        (&["none"], "`none` is no workload: write `sleep`"),
        (&["true"], "absolute path"),
        (&["./run"], "absolute path"),
        (&["FILENAME"], "absolute path"),
        (&[""], "absolute path"),
        (&["device"], "write `device NAME`"),
        (&["device", "a.b"], "device `a.b` is not a valid name"),
        (&["device", "gpu", "fast"], "`fast`, which is not a number"),
        (&["sleep", "abc"], "`abc`, which is not a number"),
        (&["sleep", "-1"], "is negative"),
        (&["sleep", "inf"], "not a finite number"),
        (&["sleep", "1e99"], "above the limit"),
        (&["/bin/true", "a\0b"], "NUL"),
        (&["/bin/true", "--card=FILENAME"], "`--card=FILENAME` contains FILENAME, but there is no file: give a glob"),
        (&["/opt/FILENAME/run"], "give a glob"),
    ] {
        let error = workload(words).unwrap_err().to_string();
        assert!(error.contains(wanted), "{words:?}: {error}");
    }
    let many = WorkloadOptions { capture_bytes: OUTPUT_TAIL_MAX_BYTES + 1, ..WorkloadOptions::default() };
    let error = Workload::new(&strings(&["sleep"]), many).unwrap_err().to_string();
    assert!(error.contains("limit of 4096"), "{error}");
}

#[test]
fn a_jobs_arguments_come_after_the_fixed_ones_unless_they_are_ignored() {
    let words = ["/bin/echo", "a", "b"];
    let task = program(workload(&words).unwrap().prepare(0, &job(&["c", "b"])).unwrap());
    assert_eq!((task.path, task.arguments), ("/bin/echo".into(), ["a", "b", "c", "b"].map(OsString::from).to_vec()));

    let options = WorkloadOptions { ignore: true, ..WorkloadOptions::default() };
    let ignoring = Workload::new(&strings(&words), options).unwrap();
    let task = program(ignoring.prepare(0, &job(&["FILENAME", "nul\0"])).unwrap());
    assert_eq!(task.arguments, ["a", "b"].map(OsString::from));
}

#[test]
fn sleep_takes_the_first_argument_so_that_a_fixed_one_wins() {
    let slept = |words: &[&str], args: &[&str]| workload(words).unwrap().prepare(0, &job(args)).map(|it| it.task);
    let seconds = |seconds| Ok(Task::Sleep(Duration::from_secs_f64(seconds)));
    assert_eq!(slept(&["sleep"], &["0.5", "9"]), seconds(0.5));
    assert_eq!(slept(&["sleep", "2"], &["0.5"]), seconds(2.0));
    assert_eq!(slept(&["sleep", "0"], &[]), seconds(0.0));
    assert_eq!(slept(&["sleep"], &["31536000"]), seconds(SLEEP_MAX_SECONDS));
    assert_eq!(slept(&["sleep"], &[]), Err(PrepareError::SecondsMissing));
    for (text, wanted) in [
        ("abc", "is not a number"),
        ("", "is not a number"),
        ("1s", "is not a number"),
        ("NaN", "is not a finite number"),
        ("-inf", "is not a finite number"),
        ("1e999", "is not a finite number"),
        ("-0.1", "is negative"),
        ("31536001", "is above the limit of 31536000 seconds"),
        ("FILENAME", "is not a number"),
    ] {
        let error = slept(&["sleep"], &[text]).unwrap_err().to_string();
        assert!(error.contains(wanted) && error.contains(&format!("`{text}`")), "{text}: {error}");
    }
}

#[test]
fn a_device_takes_its_work_from_the_first_argument_and_needs_none() {
    let asked = |words: &[&str], args: &[&str]| {
        let prepared = workload(words).unwrap().prepare(3, &job(args)).unwrap();
        assert_eq!(prepared.device.as_deref(), Some("gpu-1"));
        let Task::Device(task) = prepared.task else { panic!("no device") };
        (task.name, task.request.work_seconds)
    };
    assert_eq!(asked(&["device", "gpu-1"], &[]), ("gpu-1".to_owned(), None));
    assert_eq!(asked(&["device", "gpu-1"], &["0.25"]).1, Some(0.25));
    assert_eq!(asked(&["device", "gpu-1", "2"], &["0.25"]).1, Some(2.0));
    let error = workload(&["device", "gpu-1"]).unwrap().prepare(0, &job(&["fast"])).unwrap_err().to_string();
    assert!(error.contains("`device` takes seconds"), "{error}");
}

#[test]
fn every_filename_is_replaced_in_path_fixed_arguments_and_the_jobs() {
    let (directory, pattern) = tree(&["card0"]);
    let file = directory.path().join("card0").display().to_string();
    let workload = with_glob(&["/opt/FILENAME/run", "--a=FILENAME,FILENAME", "b"], &pattern).unwrap();
    let prepared = workload.prepare(0, &job(&["xFILENAMEFILENAMEy", "FILE"])).unwrap();
    assert_eq!(prepared.device.as_deref(), Some("card0"));
    let task = program(prepared);
    assert_eq!(task.path, Path::new(&format!("/opt/{file}/run")));
    let wanted = [format!("--a={file},{file}"), "b".to_owned(), format!("x{file}{file}y"), "FILE".to_owned()];
    assert_eq!(task.arguments, wanted.map(OsString::from));
}

#[test]
fn without_a_glob_there_is_no_device_and_filename_in_a_job_fails_it() {
    let workload = workload(&["/bin/true"]).unwrap();
    assert_eq!(workload.prepare(0, &job(&["x"])).unwrap().device, None);
    let error = workload.prepare(0, &job(&["x", "--in=FILENAME"])).unwrap_err().to_string();
    assert_eq!(error, "argument `--in=FILENAME` contains FILENAME, but this worker has no file: start it with a glob");
    let empty = with_glob(&["/bin/true"], "").unwrap();
    assert!(empty.files().is_empty());
}

#[test]
fn an_argument_with_nul_fails_its_job_and_is_numbered() {
    for words in [&["/bin/true", "fixed"][..], &["sleep", "0"]] {
        let error = workload(words).unwrap().prepare(0, &job(&["a", "b\0c"])).unwrap_err().to_string();
        assert!(error.starts_with("argument 2 of the job contains a NUL character"), "{error}");
    }
}

#[test]
fn each_slot_gets_one_file_in_the_order_of_names() {
    let (directory, pattern) = tree(&["card1", "card0", "card10", "other"]);
    let workload = with_glob(&["/bin/true", "FILENAME"], &pattern).unwrap();
    for (slot, name) in [(0, "card0"), (1, "card1"), (2, "card10"), (3, "card0"), (7, "card1"), (u32::MAX, "card0")] {
        let prepared = workload.prepare(slot, &job(&[])).unwrap();
        assert_eq!(prepared.device.as_deref(), Some(name), "slot {slot}");
        assert_eq!(program(prepared).arguments, [directory.path().join(name)]);
    }
}

#[test]
fn a_glob_without_a_match_and_a_malformed_one_are_refused() {
    let (directory, pattern) = tree(&[]);
    let error = with_glob(&["/bin/true"], &pattern).unwrap_err();
    assert!(matches!(error, WorkloadError::NoMatch { .. }), "{error}");
    assert!(error.to_string().contains(&pattern), "{error}");
    let bad = directory.path().join("card[").display().to_string();
    let error = with_glob(&["/bin/true"], &bad).unwrap_err();
    assert!(matches!(error, WorkloadError::Pattern { .. }), "{error}");
}

#[test]
fn a_glob_that_matches_too_much_is_refused() {
    let (directory, pattern) = tree(&[]);
    (0..=GLOB_MATCHES_MAX).for_each(|number| fs::write(directory.path().join(format!("card{number}")), "").unwrap());
    let error = with_glob(&["/bin/true"], &pattern).unwrap_err().to_string();
    assert!(error.contains("more than 4096 files"), "{error}");
    fs::remove_file(directory.path().join("card0")).unwrap();
    assert_eq!(with_glob(&["/bin/true"], &pattern).unwrap().files().len(), GLOB_MATCHES_MAX);
}

#[test]
fn a_relative_glob_gives_absolute_paths() {
    let workload = with_glob(&["/bin/true", "FILENAME"], "Cargo.tom?").unwrap();
    let here = std::env::current_dir().unwrap();
    assert_eq!(workload.files(), [here.join("Cargo.toml")]);
}

#[test]
fn the_smaller_limit_counts_and_zero_is_none() {
    let seconds = |number: u64| (number > 0).then(|| Duration::from_secs(number));
    for (worker, jobs, wanted) in [(0, 0, 0), (0, 5, 5), (5, 0, 5), (5, 3, 3), (3, 5, 3), (4, 4, 4)] {
        let options = WorkloadOptions { limit: Some(Duration::from_secs(worker)), ..WorkloadOptions::default() };
        let workload = Workload::new(&strings(&["sleep", "1"]), options).unwrap();
        let job = Job { args: Vec::new(), limit: Some(HumanDuration::from_secs(jobs)) };
        assert_eq!(workload.prepare(0, &job).unwrap().limit, seconds(wanted), "{worker} {jobs}");
        assert_eq!(smaller_limit(seconds(worker), seconds(jobs)), seconds(wanted), "{worker} {jobs}");
    }
}

#[test]
fn output_is_captured_unless_it_is_lost_or_handed_on() {
    for (null_out, capture_bytes, wanted) in
        [(false, 100, OutputUse::Captured(100)), (false, 0, OutputUse::Inherited), (true, 100, OutputUse::Null)]
    {
        let options = WorkloadOptions { null_out, capture_bytes, ..WorkloadOptions::default() };
        let workload = Workload::new(&strings(&["/bin/true"]), options).unwrap();
        assert_eq!(program(workload.prepare(0, &job(&[])).unwrap()).output, wanted);
    }
}

proptest! {
    #[test]
    fn no_command_and_no_job_makes_it_panic_and_errors_are_short(
        command in prop::collection::vec(r"(sleep|device|/)?(FILENAME|[\x00-\x7fü]){0,300}", 0..4),
        args in prop::collection::vec(r"(FILENAME|[\x00-\x7fü]){0,300}", 0..4),
        slot: u32,
    ) {
        match Workload::new(&command, WorkloadOptions::default()) {
            Err(error) => prop_assert!(error.to_string().len() < 800),
            Ok(workload) => if let Err(error) = workload.prepare(slot, &Job { args, limit: None }) {
                prop_assert!(error.to_string().len() < 800);
            }
        }
    }
}

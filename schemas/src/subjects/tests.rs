use super::*;

#[test]
fn a_namespace_is_a_token() {
    assert!(Namespace::new("lab-1").is_ok());
    assert!(Namespace::new("lab.1").is_err());
}

#[test]
fn request_subjects_and_stream_subjects_are_disjoint() {
    let ns = Namespace::default();
    let streams = [
        ns.experiment_submit(),
        ns.experiment_dead(),
        ns.change(),
        ns.experiment_event("*"),
        ns.experiment_second("*"),
        "nuncius.metric.>".into(),
        ns.job_all("*"),
        ns.record_all("*"),
        ns.repeat_all("*"),
        ns.dead_letter("*"),
        ns.sample("*"),
        ns.otlp_all(),
    ];
    for request in [
        ns.experiment_control("x"),
        ns.experiment_archive("x"),
        ns.node_command("n"),
        ns.node_ping("n"),
        ns.job_event("q"),
        ns.device_run("d"),
        // No stream takes samples of machines: whoever listens hears them.
        ns.telemetry("n"),
        ns.telemetry_control("n"),
        ns.oco_servo("a", "b"),
        ns.resource("n", ResourceKind::Memory),
        // Told by whoever wrote the record.
        ns.result("q", "c", "j"),
    ] {
        for stream in &streams {
            assert!(!matches(stream, &request), "{stream} captures {request}");
        }
    }
}

#[test]
fn a_servos_subject_has_as_many_tokens_whatever_its_names() {
    let ns = Namespace::default();
    let subject = ns.oco_servo("dev.example.com", "app-1.2");
    assert_eq!(subject, "nuncius.oco.dev%2Eexample%2Ecom.app-1%2E2.servo");
    assert!(matches(&ns.oco_servo_all(), &subject));
}

fn matches(pattern: &str, subject: &str) -> bool {
    let mut subject = subject.split('.');
    for token in pattern.split('.') {
        match (token, subject.next()) {
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (token, Some(other)) if token == other => {}
            _ => return false,
        }
    }
    subject.next().is_none()
}

use super::*;

#[test]
fn amounts_are_read_with_their_units_and_written_back() {
    for (text, amount, written) in [
        ("512MiB", Amount::Bytes(512 << 20), "512MiB"),
        ("1.5GiB", Amount::Bytes(1536 << 20), "1536MiB"),
        ("1 Gi", Amount::Bytes(1 << 30), "1GiB"),
        ("1k", Amount::Bytes(1000), "1000B"),
        ("0B", Amount::Bytes(0), "0B"),
        ("50%", Amount::Percent(50_000), "50%"),
        ("12.5 %", Amount::Percent(12_500), "12.5%"),
        ("1.5", Amount::Plain(1500), "1.5"),
        ("18446744073709551615", Amount::Plain(u128::from(u64::MAX) * 1000), "18446744073709551615"),
    ] {
        assert_eq!(text.parse(), Ok(amount), "{text}");
        assert_eq!(amount.to_string(), written);
        assert_eq!(written.parse(), Ok(amount));
    }
    assert_eq!("50%".parse::<Amount>().unwrap().to_bytes(1 << 30), Ok(512 << 20));
    assert_eq!("1.5".parse::<Amount>().unwrap().to_core_millipercent(), Ok(150_000));
    assert_eq!("10MiB/s".parse(), Ok(ByteRate(10 << 20)));
}

#[test]
fn what_is_no_amount_is_refused_and_not_wrapped() {
    let long = "9".repeat(100_000);
    for text in ["", "-1", "-1%", "1e9", "1.2.3", "5 parsecs", "%", "GiB", ".", "18446744073709551616", "nan", &long] {
        let error = text.parse::<Amount>().unwrap_err().to_string();
        assert!(error.len() < 300, "{error}");
    }
    for text in ["18446744073709551616B", "99999999999TiB", "10000001%"] {
        assert!(matches!(text.parse::<Amount>(), Err(ResourceUnitError::TooLarge(_))), "{text}");
    }
    assert!("50%".parse::<ByteRate>().is_err());
    assert!(Amount::Plain(1500).to_bytes(0).is_err() && Amount::Bytes(1).to_core_millipercent().is_err());
    assert!(Amount::Plain(u128::from(u64::MAX) * 1000).to_core_millipercent().is_err());
}

#[test]
fn a_request_with_a_field_that_nobody_knows_is_no_query() {
    let read = serde_json::from_str::<ResourceRequest>;
    for (text, is_query) in [("{}", true), (r#"{"token": "x"}"#, true), (r#"{"amount": 0}"#, false)] {
        assert_eq!(read(text).unwrap().is_query(), is_query, "{text}");
    }
    assert!(read(r#"{"amout": "1GiB"}"#).is_err());
    let text = r#"{"amount":"1GiB","for":"10s","write_rate":"1MiB/s"}"#;
    assert_eq!(serde_json::to_string(&read(text).unwrap()).unwrap(), text);
}

proptest::proptest! {
    #[test]
    fn every_amount_reads_back_as_it_was(number: u64, shift in 0u32..64) {
        let number = number >> shift << (shift / 2);
        for amount in [Amount::Bytes(number), Amount::Percent(number % 10_000_000_000), Amount::Plain(u128::from(number))] {
            proptest::prop_assert_eq!(amount.to_string().parse(), Ok(amount));
        }
        proptest::prop_assert_eq!(ByteRate(number).to_string().parse(), Ok(ByteRate(number)));
    }

    #[test]
    fn no_text_makes_the_parsers_panic(text in "[0-9.]{0,40}[a-zKMGTµ %/]{0,4}[0-9.]{0,3}") {
        drop(text.parse::<Amount>());
        drop(text.parse::<ByteRate>());
    }
}

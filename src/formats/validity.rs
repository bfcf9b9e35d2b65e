//! Reads until when a certificate or a list of revoked ones is valid from its DER (RFC 5280 sections 4.1 and 5.1), and nothing else.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// Tags of ASN.1 (X.690): the version of a certificate and that of a list, which may be left out, and the two ways to write a time.
const VERSION: u8 = 0xa0;
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Returns `notAfter` in whole seconds since 1970; `None` where it cannot be read, or where it is the end of the year 9999, which
/// means that the certificate never expires (RFC 5280 section 4.1.2.5).
#[must_use]
pub fn not_after(certificate: &[u8]) -> Option<u64> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut fields, _) = element(certificate)?;
    if let Some((VERSION, _, rest)) = element(fields) {
        fields = rest;
    }
    // The serial number, the algorithm of the signature and the issuer.
    for _ in 0..3 {
        (_, _, fields) = element(fields)?;
    }
    let (_, validity, _) = element(fields)?;
    let (_, _, after) = element(validity)?;
    let (tag, time, _) = element(after)?;
    seconds(tag, std::str::from_utf8(time).ok()?)
}

/// Returns `nextUpdate` of a list of revoked certificates in whole seconds since 1970; `None` where it cannot be read or there is none.
#[must_use]
pub fn next_update(list: &[u8]) -> Option<u64> {
    let (_, list, _) = element(list)?;
    let (_, mut fields, _) = element(list)?;
    if let Some((INTEGER, _, rest)) = element(fields) {
        fields = rest;
    }
    // The algorithm of the signature, the issuer and the time of this list.
    for _ in 0..3 {
        (_, _, fields) = element(fields)?;
    }
    let (tag, time, _) = element(fields)?;
    seconds(tag, std::str::from_utf8(time).ok()?)
}

/// Takes the first element: its tag, its content, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, mut rest) = rest.split_first()?;
    let mut length = usize::from(*first);
    if *first >= 0x80 {
        let (digits, after) = rest.split_at_checked(usize::from(first & 0x7f)).filter(|(digits, _)| matches!(digits.len(), 1..=4))?;
        length = digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit));
        rest = after;
    }
    let (content, rest) = rest.split_at_checked(length)?;
    Some((*tag, content, rest))
}

/// Reads a time in UTC to the second, the only form that certificates may use. Of a year of two digits 50 is 1950.
fn seconds(tag: u8, text: &str) -> Option<u64> {
    let text = match tag {
        UTC_TIME if text >= "50" => format!("19{text}"),
        UTC_TIME => format!("20{text}"),
        GENERALIZED_TIME => text.to_owned(),
        _ => return None,
    };
    let time = DateTime::strptime("%Y%m%d%H%M%SZ", text).ok()?;
    u64::try_from(TimeZone::UTC.to_timestamp(time).ok()?.as_second()).ok()
}

#[cfg(test)]
mod tests {
    use rcgen::{
        CertificateParams, CertificateRevocationListParams, Issuer, KeyIdMethod, KeyPair, KeyUsagePurpose, SerialNumber, date_time_ymd,
    };

    use super::*;

    fn certificate(year: i32, month: u8, day: u8) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["a.test".to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, month, day);
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_end_of_a_certificate_is_read_in_both_forms_of_time() {
        assert_eq!(not_after(&certificate(2026, 11, 26)), Some(1_795_651_200));
        assert_eq!(not_after(&certificate(2049, 12, 31)), Some(2_524_521_600));
        assert_eq!(not_after(&certificate(2050, 1, 1)), Some(2_524_608_000));
        assert_eq!(seconds(UTC_TIME, "991231235959Z"), Some(946_684_799));
        assert_eq!(seconds(GENERALIZED_TIME, "20240229000001Z"), Some(1_709_164_801));
    }

    #[test]
    fn the_next_update_of_a_list_is_read() {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.key_usages = vec![KeyUsagePurpose::CrlSign];
        let issuer = Issuer::new(params, KeyPair::generate().unwrap());
        let list = |year| {
            let (this_update, next_update) = (date_time_ymd(2020, 1, 1), date_time_ymd(year, 1, 1));
            let crl_number = SerialNumber::from(1);
            let (issuing_distribution_point, revoked_certs, key_identifier_method) = (None, Vec::new(), KeyIdMethod::Sha256);
            let params = CertificateRevocationListParams {
                this_update,
                next_update,
                crl_number,
                issuing_distribution_point,
                revoked_certs,
                key_identifier_method,
            };
            params.signed_by(&issuer).unwrap().der().to_vec()
        };
        assert_eq!((next_update(&list(2050)), next_update(&list(2026))), (Some(2_524_608_000), Some(1_767_225_600)));
        let whole = list(2050);
        assert!((0..whole.len()).all(|end| next_update(&whole[..end]).is_none()));
    }

    #[test]
    fn what_has_no_end_or_is_no_certificate_has_none() {
        for (tag, text) in [
            (GENERALIZED_TIME, "99991231235959Z"),
            (GENERALIZED_TIME, "20240230000000Z"),
            (GENERALIZED_TIME, "20240228000000+0100"),
            (UTC_TIME, "500101000000Z"),
            (UTC_TIME, ""),
            (2, "20240228000000Z"),
        ] {
            assert_eq!(seconds(tag, text), None, "{text}");
        }
        let whole = certificate(2026, 11, 26);
        for end in 0..whole.len() {
            assert_eq!(not_after(&whole[..end]), None, "cut at {end}");
        }
        for bytes in [&b"\x30\x80"[..], b"\x30\x85\0\0\0\0\0", b"\x30\x84\xff\xff\xff\xff", b"\x30\x02\x30\0"] {
            assert_eq!(not_after(bytes), None, "{bytes:?}");
        }
    }
}

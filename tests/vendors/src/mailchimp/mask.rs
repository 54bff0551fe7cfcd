//! `fields` and `exclude_fields`: which parts of an answer a caller wants, as dotted paths (V).

use super::merge::MergeField;

/// The paths a request names.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mask {
    include: Vec<String>,
    exclude: Vec<String>,
}

impl Mask {
    pub(crate) fn new(include: Vec<String>, exclude: Vec<String>) -> Self {
        Self { include, exclude }
    }

    /// Is this path, or anything below it, to be shown?
    pub(crate) fn shows(&self, path: &str) -> bool {
        let below = |inner: &str, outer: &str| {
            inner == outer
                || inner
                    .strip_prefix(outer)
                    .is_some_and(|rest| rest.starts_with('.'))
        };
        let included = self.include.is_empty()
            || self
                .include
                .iter()
                .any(|wanted| below(path, wanted) || below(wanted, path));
        included && !self.exclude.iter().any(|unwanted| below(path, unwanted))
    }
}

/// A field of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Field {
    Id,
    EmailAddress,
    UniqueEmailId,
    ContactId,
    FullName,
    WebId,
    EmailType,
    Status,
    UnsubscribeReason,
    ConsentsToOneToOneMessaging,
    MergeFields,
    Stats,
    IpSignup,
    TimestampSignup,
    IpOpt,
    TimestampOpt,
    MemberRating,
    LastChanged,
    Language,
    Vip,
    EmailClient,
    Location,
    Source,
    TagsCount,
    Tags,
    ListId,
    Links,
}

impl Field {
    /// In the order in which answers show them.
    pub(crate) const ALL: [Self; 27] = [
        Self::Id,
        Self::EmailAddress,
        Self::UniqueEmailId,
        Self::ContactId,
        Self::FullName,
        Self::WebId,
        Self::EmailType,
        Self::Status,
        Self::UnsubscribeReason,
        Self::ConsentsToOneToOneMessaging,
        Self::MergeFields,
        Self::Stats,
        Self::IpSignup,
        Self::TimestampSignup,
        Self::IpOpt,
        Self::TimestampOpt,
        Self::MemberRating,
        Self::LastChanged,
        Self::Language,
        Self::Vip,
        Self::EmailClient,
        Self::Location,
        Self::Source,
        Self::TagsCount,
        Self::Tags,
        Self::ListId,
        Self::Links,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::EmailAddress => "email_address",
            Self::UniqueEmailId => "unique_email_id",
            Self::ContactId => "contact_id",
            Self::FullName => "full_name",
            Self::WebId => "web_id",
            Self::EmailType => "email_type",
            Self::Status => "status",
            Self::UnsubscribeReason => "unsubscribe_reason",
            Self::ConsentsToOneToOneMessaging => "consents_to_one_to_one_messaging",
            Self::MergeFields => "merge_fields",
            Self::Stats => "stats",
            Self::IpSignup => "ip_signup",
            Self::TimestampSignup => "timestamp_signup",
            Self::IpOpt => "ip_opt",
            Self::TimestampOpt => "timestamp_opt",
            Self::MemberRating => "member_rating",
            Self::LastChanged => "last_changed",
            Self::Language => "language",
            Self::Vip => "vip",
            Self::EmailClient => "email_client",
            Self::Location => "location",
            Self::Source => "source",
            Self::TagsCount => "tags_count",
            Self::Tags => "tags",
            Self::ListId => "list_id",
            Self::Links => "_links",
        }
    }
}

/// A mask worked out for members, so that each of a thousand members costs a look at a table.
#[derive(Debug, Clone)]
pub(crate) struct MemberMask {
    fields: [bool; Field::ALL.len()],
    merge: Vec<bool>,
}

impl MemberMask {
    /// For members that stand below `prefix` in the answer (empty: at its root).
    pub(crate) fn new(mask: &Mask, prefix: &str, merge_fields: &[MergeField]) -> Self {
        let path = |name: &str| {
            if prefix.is_empty() {
                name.to_owned()
            } else {
                format!("{prefix}.{name}")
            }
        };
        Self {
            fields: Field::ALL.map(|field| mask.shows(&path(field.name()))),
            merge: merge_fields
                .iter()
                .map(|f| mask.shows(&path(&format!("merge_fields.{}", f.tag))))
                .collect(),
        }
    }

    pub(crate) fn shows(&self, field: Field) -> bool {
        self.fields[field as usize]
    }

    pub(crate) fn shows_merge(&self, position: u8) -> bool {
        self.merge
            .get(usize::from(position))
            .copied()
            .unwrap_or(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mailchimp::merge::standard;

    #[test]
    fn the_table_is_in_the_order_of_the_fields() {
        for (at, field) in Field::ALL.into_iter().enumerate() {
            assert_eq!(field as usize, at, "{}", field.name());
        }
    }

    #[test]
    fn paths_include_their_parents_and_children() {
        let mask = Mask::new(
            vec![
                "members.id".to_owned(),
                "members.merge_fields.FNAME".to_owned(),
            ],
            Vec::new(),
        );
        let members = MemberMask::new(&mask, "members", &standard());
        assert!(mask.shows("members"));
        assert!(!mask.shows("total_items"));
        assert!(members.shows(Field::Id));
        assert!(members.shows(Field::MergeFields));
        assert!(!members.shows(Field::Status));
        assert!(members.shows_merge(0));
        assert!(!members.shows_merge(1));
    }

    #[test]
    fn an_exclusion_takes_its_children_along() {
        let mask = Mask::new(
            Vec::new(),
            vec![
                "members._links".to_owned(),
                "members.merge_fields".to_owned(),
            ],
        );
        let members = MemberMask::new(&mask, "members", &standard());
        assert!(!members.shows(Field::Links));
        assert!(!members.shows(Field::MergeFields));
        assert!(members.shows(Field::EmailAddress));
    }
}

//! The properties of a typical account: HubSpot's own, and custom ones.

use super::{
    CUSTOMER_NUMBER_PROPERTY, DELIVERABILITY_PROPERTY, PropId, PropertyDefinition, PropertyOption,
    PropertyType, Registry, SUBSCRIPTION_TYPES,
};

impl PropertyDefinition {
    fn own(name: &str, label: &str, kind: PropertyType, read_only: bool) -> Self {
        let field_type = match kind {
            PropertyType::Number => "number",
            PropertyType::Enumeration => "select",
            PropertyType::Bool => "booleancheckbox",
            PropertyType::Date | PropertyType::DateTime => "date",
            PropertyType::String if name == "phone" => "phonenumber",
            PropertyType::String => "text",
        };
        Self {
            name: name.to_owned(),
            label: label.to_owned(),
            kind,
            field_type: field_type.to_owned(),
            group_name: "contactinformation".to_owned(),
            options: Vec::new(),
            has_unique_value: false,
            read_only,
            hubspot_defined: true,
        }
    }

    fn custom(name: &str, label: &str, kind: PropertyType) -> Self {
        Self {
            hubspot_defined: false,
            ..Self::own(name, label, kind, false)
        }
    }

    fn with_options(mut self, options: &[(&str, &str)]) -> Self {
        self.options = options
            .iter()
            .zip(0..)
            .map(|((value, label), display_order)| PropertyOption {
                label: (*label).to_owned(),
                value: (*value).to_owned(),
                display_order,
                hidden: false,
            })
            .collect();
        self
    }

    fn unique(mut self) -> Self {
        self.has_unique_value = true;
        self
    }

    fn several(mut self) -> Self {
        self.field_type = "checkbox".to_owned();
        self
    }
}

impl Registry {
    /// HubSpot's own properties and the custom ones of a typical account.
    pub(crate) fn standard() -> Self {
        use PropertyType::{Bool, Date, DateTime, Enumeration, Number, String as Text};
        let own = PropertyDefinition::own;
        let custom = PropertyDefinition::custom;
        let mut definitions = vec![
            own("email", "Email", Text, false),
            own("firstname", "First Name", Text, false),
            own("lastname", "Last Name", Text, false),
            own("phone", "Phone Number", Text, false),
            own("company", "Company Name", Text, false),
            own("jobtitle", "Job Title", Text, false),
            own("city", "City", Text, false),
            own("country", "Country/Region", Text, false),
            custom(CUSTOMER_NUMBER_PROPERTY, "Customer number", Text).unique(),
            own("hs_object_id", "Record ID", Number, true),
            own("createdate", "Create Date", DateTime, true),
            own("lastmodifieddate", "Last Modified Date", DateTime, true),
            own("hs_email_optout", "Unsubscribed from all email", Bool, true),
            own("hs_email_bounce", "Marketing emails bounced", Number, true),
            own(
                "hs_email_hard_bounce_reason_enum",
                "Email hard bounce reason",
                Enumeration,
                true,
            )
            .with_options(&[
                ("OTHER", "Other"),
                ("SPAM", "Spam"),
                ("MAILBOX_FULL", "Mailbox full"),
                ("CONTENT", "Content"),
                ("POLICY", "Policy"),
                ("UNKNOWN_USER", "Unknown user"),
            ]),
            own(
                "hs_additional_emails",
                "Additional email addresses",
                Text,
                true,
            ),
            own("hs_merged_object_ids", "Merged record IDs", Text, true),
        ];
        for kind in &SUBSCRIPTION_TYPES {
            let name = format!("hs_email_optout_{}", kind.id);
            definitions.push(own(
                &name,
                &format!("Opted out of email: {}", kind.name),
                Bool,
                true,
            ));
        }
        definitions.extend([
            own("lifecyclestage", "Lifecycle Stage", Enumeration, false).with_options(&[
                ("subscriber", "Subscriber"),
                ("lead", "Lead"),
                ("opportunity", "Opportunity"),
                ("customer", "Customer"),
                ("other", "Other"),
            ]),
            own("mobilephone", "Mobile Phone Number", Text, false),
            own("address", "Street Address", Text, false),
            own("zip", "Postal Code", Text, false),
            own("hs_language", "Preferred language", Text, false),
            own("date_of_birth", "Date of birth", Text, false),
            custom(
                DELIVERABILITY_PROPERTY,
                "E-mail deliverability",
                Enumeration,
            )
            .with_options(&[
                ("ok", "Delivers"),
                ("soft_bounce", "Bounces at times"),
                ("hard_bounce", "Bounced for good"),
            ]),
            custom("membership_level", "Membership level", Enumeration).with_options(&[
                ("basic", "Basic"),
                ("plus", "Plus"),
                ("guld", "Guld"),
            ]),
            custom("interests", "Interests", Enumeration)
                .with_options(&[
                    ("sailing", "Sailing"),
                    ("theatre", "Theatre"),
                    ("tradgard", "Trädgård"),
                ])
                .several(),
            custom("member_since", "Member since", Date),
            custom("loyalty_points", "Loyalty points", Number),
        ]);
        let by_name = definitions
            .iter()
            .zip(0..)
            .map(|(d, at)| (d.name.clone(), PropId(at)))
            .collect();
        Self {
            definitions,
            by_name,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::hubspot::properties::*;

    #[test]
    fn the_constants_name_the_properties_they_stand_for() {
        let registry = Registry::standard();
        for (id, name) in [
            (EMAIL, "email"),
            (FIRSTNAME, "firstname"),
            (LASTNAME, "lastname"),
            (PHONE, "phone"),
            (COMPANY, "company"),
            (JOBTITLE, "jobtitle"),
            (CITY, "city"),
            (COUNTRY, "country"),
            (CUSTOMER_NUMBER, CUSTOMER_NUMBER_PROPERTY),
            (OBJECT_ID, "hs_object_id"),
            (CREATEDATE, "createdate"),
            (LASTMODIFIED, "lastmodifieddate"),
            (OPTOUT, "hs_email_optout"),
            (BOUNCE_COUNT, "hs_email_bounce"),
            (BOUNCE_REASON, "hs_email_hard_bounce_reason_enum"),
            (ADDITIONAL_EMAILS, "hs_additional_emails"),
            (MERGED_IDS, "hs_merged_object_ids"),
            (optout_of(0), "hs_email_optout_184001"),
            (optout_of(1), "hs_email_optout_184002"),
        ] {
            assert_eq!(registry.get(id).name, name);
            assert_eq!(registry.id(name), Some(id));
        }
    }
}

"""From folders to records, and from records to pixels."""

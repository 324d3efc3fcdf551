"""Reading data: from folders to records, and from records to pixels."""

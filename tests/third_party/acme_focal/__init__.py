"""A third party's backend, written from the documents alone: an audit store over plain lists."""

"""Modules for ngx.load_ffi that come with it."""

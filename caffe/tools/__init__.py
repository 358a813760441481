"""Caffe's tools besides the `caffe` command, each a console command of its own name."""

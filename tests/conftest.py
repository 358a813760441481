"""All tests: the log level is Caffe's default, whatever the user's environment says."""

import os

os.environ.pop("GLOG_minloglevel", None)

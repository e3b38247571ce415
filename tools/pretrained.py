"""Lists and builds pretrained encoders, as `mmrec pretrained` does.

python tools/pretrained.py list
python tools/pretrained.py build minilm efficientnet_lite0 musicnn
python tools/pretrained.py build --all
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from mmrec_tf.cli_pretrained import pretrained_app
from mmrec_tf.errors import MmrecError

if __name__ == "__main__":
    try:
        pretrained_app()
    except MmrecError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)

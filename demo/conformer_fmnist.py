"""mmcls config of the demo: a small Conformer on Fashion-MNIST, trained by train.py beside this file."""

model = dict(
    type="ImageClassifier",
    backbone=dict(
        type="Conformer",
        arch=dict(embed_dims=64, channel_ratio=1, num_heads=4, depths=6),
        base_channels=16,
        patch_size=16,
        norm_eval=False,
        drop_path_rate=0.0,
    ),
    neck=None,
    head=dict(
        type="ConformerHead",
        num_classes=10,
        in_channels=[64, 64],  # convolution branch, transformer branch
        init_cfg=None,
        loss=dict(type="LabelSmoothLoss", label_smooth_val=0.1),
        cal_acc=False,
    ),
)

class_names = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]

test_pipeline = [
    dict(type="LoadImageFromFile"),
    dict(type="Resize", size=(32, -1), backend="pillow", interpolation="bilinear"),
    dict(type="CenterCrop", crop_size=32),
    dict(type="Normalize", mean=[73.0, 73.0, 73.0], std=[90.0, 90.0, 90.0], to_rgb=True),
    dict(type="ImageToTensor", keys=["img"]),
    dict(type="Collect", keys=["img"]),
]
data = dict(test=dict(type="FashionMNIST", data_prefix="demo", pipeline=test_pipeline))

"""LURE, stage 1: restoration of either modality through a latent space that forgets the degradation.

    iassf train --config configs/lure.py --workdir runs/lure --config.data.train=DATA/train \\
        --config.data.val=DATA/val

Then stage 2, `lure_fusion`. Meant for one GPU with 24 GB or more. The folders need GT/ and IR/; what is wrong
with the images is made on the device. The schedule is ours, since the paper refers to a supplement.
"""

from ml_collections import ConfigDict

from configs import default


def get_config() -> ConfigDict:
    """Return the default tree with the network of the paper and the first stage."""
    config = default.get_config()
    config.model = lure_model()
    config.model.dtype = "bfloat16"
    config.model.remat = True
    config.task = lure_task("lure_restoration")
    config.steps = 200_000
    config.data.batch_size = 16
    config.data.crop = 128
    config.augment.rotate = True
    config.ema_decay = 0.999
    config.optimizer.final_learning_rate = 1e-6
    config.optimizer.warmup_steps = 2000
    config.optimizer.weight_decay = 1e-4
    config.optimizer.decay = "kernels"
    config.optimizer.rates = (("^fusion/", 0.0),)  # stage 2's part
    config.eval_every = config.images_every = 10_000
    config.eval_at_start = True  # how far the probes of the latents fall; what stage 2 adds to the rule alone
    config.images_count = 12
    return config


def lure_model() -> ConfigDict:
    """Return the network of the paper with all its fields."""
    model = ConfigDict()
    model.name = "lure"
    # Image encoder; one value for each level, from full resolution downwards by halves.
    model.widths = (48, 96, 192, 384)  # channels, C_i
    model.latents = (16, 32, 64, 128)  # channels of the latents, c_i
    model.k_bt = (1, 1, 2, 2)  # pairs of base block and text-guided block
    model.k_tb = (2, 2, 4, 8)  # pairs of text-guided block and bottleneck
    model.reduce = "last"  # the "last" or the "first" bottleneck goes from C_i to c_i channels
    model.inner_residual = True  # latent = linear branch - degradation branch; else the latter alone
    # Blocks.
    model.heads = 4  # of every attention
    model.ffn_factor = 2.66  # hidden width of the feed-forward networks over their channels
    model.tga_variant = "channel_query"  # how text guides: or "spatial_gate", "gate"
    model.sca_window = 0  # NAFBlocks: channel means over windows of so many pixels; 0 is the whole image
    # Decoder.
    model.decoder = "wide"  # channels as the encoder, or "light": those of the latents
    model.dec_blocks = (1, 1, 1, 1)  # NAFBlocks of each level
    # Fusion.
    model.fusion_blocks = (1, 1, 2, 2)  # cross-attention blocks of each level
    model.fusion_attention = "channel"  # between channels, or between patches of a "window"
    model.reverse_softmax = False  # "window": attend to what is least alike
    model.rule = "l1norm"  # fusion without parameters: or "mean", "sum", "softmax_sum", "none"
    model.l1_radius = 1  # l1norm: activity is averaged over 2 r + 1 pixels
    # Text.
    model.text_backend = "hash"  # sentence vectors: or "onehot", "distilbert", "cache"
    model.sentence_dim = 768  # numbers of a sentence vector
    model.text_dim = 256  # numbers of a description
    model.text_norm = "l2"  # of the text head: "l2" or "layernorm"
    model.split_sr = False  # a class of its own for low resolution by 4 and by 8
    # Machine.
    model.dtype = "float32"  # of the computation: "float32" or "bfloat16"
    model.remat = False  # recompute blocks in the backward pass: less memory, a third more time
    return model


def lure_task(name: str) -> ConfigDict:
    """Return the options of a stage: "lure_restoration", "lure_fusion", or "lure_joint" for both at once."""
    task = ConfigDict()
    task.name = name
    # What is learned.
    task.tasks = ("LC", "SR", "HZ", "OE", "LL")  # degradations
    task.shares = ()  # how likely each is, relative to the others; () is all equally
    task.sr_scales = (4, 8)  # factors of SR, all equally likely
    task.clean_infrared = 0.1  # share of the pairs that are a clean infrared image and itself
    task.haze = "reside_its"  # recipe or mixture of HZ, see data_pipelines/haze
    # Loss of stage 1.
    task.alpha_unified = 0.1  # latents of degraded and clean images agree
    task.alpha_recon = 1.0  # clean images come back
    task.alpha_text = 0.1  # descriptions name their task
    task.alpha_task_grad = 0.1  # edges of the restored image
    task.gamma = "cos_pixel"  # agreement of latents: or "cos_flat", "cc"
    task.unified_detach_pd = False  # the clean image's latents are a fixed target
    # Loss of stage 2. The paper has a perceptual term and no intensity: alpha_per = 4e-5, alpha_int = 0.
    task.alpha_grad = 1.0  # edges of the fused image
    task.alpha_per = 0.0  # features of a VGG-16: 4e-5 (caffe) or 0.05 (torchvision)
    task.alpha_int = 1.0  # brightness
    task.brightest = 1.0  # what it aims at: 1 the brighter source of each pixel, 0 the mean of both
    task.vgg_path = ""  # .safetensors or .npz of the VGG-16
    task.vgg_scaling = "caffe"  # of the images that it was trained with: or "torchvision"
    # Text; the backend is model.text_backend.
    task.text_path = ""  # folder of a DistilBERT
    task.text_cache = ""  # file of sentence vectors
    task.text_pooling = "cls"  # of DistilBERT: or "mean"
    task.prompts = ""  # folder of prompts; "" is the packaged ones
    # Validation.
    task.val_scale = 1.0  # scenes are validated on at this part of their size
    task.val_side = 0  # of which the square of so many pixels in the middle; 0 is all of it
    return task


def light(config: ConfigDict) -> ConfigDict:
    """Make encoder and decoder narrow early: 2.4 times fewer parameters."""
    config.model.reduce = "first"
    config.model.decoder = "light"
    return config


def tiny(config: ConfigDict) -> ConfigDict:
    """Take a quarter of the channels and one block wherever there are several; for two CPU cores."""
    config.model.widths = (12, 24, 48, 96)
    config.model.latents = (4, 8, 16, 32)
    config.model.k_bt = config.model.k_tb = config.model.fusion_blocks = (1, 1, 1, 1)
    config.model.dtype = "float32"
    config.model.remat = False
    return config
